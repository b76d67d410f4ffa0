"""How others say it: foreign shapes to events and back, pure."""
