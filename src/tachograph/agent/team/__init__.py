"""Several agents, as values: who asks whom, who hands over to whom, what each knows, and who begins."""
