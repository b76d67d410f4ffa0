"""What it adds up to: pure folds from events to meaning."""
