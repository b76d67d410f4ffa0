"""Two runs side by side: what was the same, where they part, what that did to tokens, cost and time."""
