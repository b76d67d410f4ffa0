"""The pages of a run's views."""
