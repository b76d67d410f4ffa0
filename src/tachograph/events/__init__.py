"""What happened: one frozen value per thing that can happen, and the bytes it becomes."""
