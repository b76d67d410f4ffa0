"""Sessions: conversations over many runs and processes, one writer at a time."""
