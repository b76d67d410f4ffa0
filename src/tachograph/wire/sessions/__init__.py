"""Recorded conversations as others leave them on disk, one pure reader per format."""
