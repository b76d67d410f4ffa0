"""Several agents: who asks whom, who hands over to whom, what each knows of the conversation, and who begins."""
