"""What may happen: limits as values, checked before the action they bound."""
