"""Who asks: access keys, visits of browsers, and what each may."""
