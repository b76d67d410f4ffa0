"""The command line: one file per command, each a question or an import, printed for a person or as JSON."""
