"""Runs, messages and events as lines for people."""
