"""The agents of one run: what each brings to its work, and how one hands over to another."""
