"""How others say it: foreign shapes ⇄ events, pure."""
