"""Benchmarks: scripts that print a table, ours beside the peers from the same run."""
