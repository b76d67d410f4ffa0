"""What an agent can do: functions as tools, their arguments, how they are run and approved, and what they return."""
