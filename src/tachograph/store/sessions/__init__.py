"""Heads of sessions: where each conversation stands, and who may write the next turn of it."""
