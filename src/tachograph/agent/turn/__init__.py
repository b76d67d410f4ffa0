"""One turn performed: its beginning, the request, the tools it asks for, and whom they are given to."""
