"""A run in parts, as its views show it: never the whole log, so that it costs the same for a run of any length."""
