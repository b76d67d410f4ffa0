"""A support desk of scripted agents: a program as a user of tachograph would write it."""
