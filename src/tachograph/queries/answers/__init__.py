"""Answers about runs, their steps and what surrounds them, in the shapes that go over HTTP."""
