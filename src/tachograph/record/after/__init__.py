"""What is added to the store after the fact, by others than the process that recorded a run."""
