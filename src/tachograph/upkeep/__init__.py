"""Keeping and watching: what goes when it is old, where it is archived first, and what raises an alert."""
