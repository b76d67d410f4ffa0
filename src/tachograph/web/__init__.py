"""The pages: values that `queries` gave become HTML, and nothing else happens here."""
