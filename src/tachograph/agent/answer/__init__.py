"""What a run comes to: its outcome, and the answer as the type that was asked for."""
