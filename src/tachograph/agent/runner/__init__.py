"""A conversation's next reply, guarded: which agent begins, what bounds it, who takes over, what the customer reads."""
