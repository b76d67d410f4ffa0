"""Guardrails: what must not pass in prompts, answers and tool calls, and rule sets as data."""
