"""Conversations that agents and benchmarks leave behind → runs of events, one reader a format."""
