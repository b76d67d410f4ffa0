"""Import: files on disk become runs in the store."""
