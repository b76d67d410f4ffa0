"""Going on from the log: a run read back, as a snapshot, taken up again where it stopped, or forked from any point."""
