"""A run told in trace events: eight kinds, the values they carry, and what they add up to."""
