"""What people ask: one function per question, each returning one value."""
