"""Agents at a terminal: found in a file, talked with, watched while they work."""
