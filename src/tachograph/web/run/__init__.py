"""The views of a run, as templates show them: what was said, what happened, what it cost, what was recorded."""
