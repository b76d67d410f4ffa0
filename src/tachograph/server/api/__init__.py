"""The endpoints, by what they are about: each turns parameters into one question, and its answer into the response."""
