"""Compaction as it happens: what is recorded, asked and told when a conversation is made smaller."""
