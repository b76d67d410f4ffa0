"""Where it is kept: ports, the schema, and one backend each."""
