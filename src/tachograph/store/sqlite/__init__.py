"""The embedded store: one SQLite file that several processes may feed while any number read."""
