"""What a function says about its parameters, and whether values fit it."""
