"""Several agents: who may hand over to whom inside one run, and who begins."""
