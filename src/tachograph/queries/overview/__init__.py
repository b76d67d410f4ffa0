"""What a period came to, for people: its figures, how they went in time, and what they are made of."""
