"""Pages for people: the same questions as the API asks, shown by `web`."""
