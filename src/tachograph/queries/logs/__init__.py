"""The rows of `execution_logs` and `llm_call_logs`, and what they add up to, as answers over HTTP."""
