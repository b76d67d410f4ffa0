"""What is taken out of recorded text: one file per way of recognising it."""
