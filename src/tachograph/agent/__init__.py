"""Who decides: agents as values, a pure loop, and what performs its decisions through the door."""
