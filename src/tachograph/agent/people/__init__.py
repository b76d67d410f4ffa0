"""People: a run that is given to one, what a customer is told of it, and tool calls that wait for one."""
