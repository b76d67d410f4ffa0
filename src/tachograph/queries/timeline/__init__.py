"""The steps of a run in time: their order, a stretch of rows, the figures of each."""
