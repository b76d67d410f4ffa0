"""How models are called: one port, the adapters behind it, and models that follow a script or a recorded run."""
