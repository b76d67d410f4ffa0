"""Commands that run agents: once, in a conversation, again from the log, and what waits for a person."""
