"""How a conversation is measured and made smaller: all of it pure."""
