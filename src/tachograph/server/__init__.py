"""How others ask over HTTP: one process that answers, takes events in, drains, prunes and watches."""
