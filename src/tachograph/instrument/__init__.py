"""How we watch others' code: decorators and a log filter over the same door."""
