"""What people ask: one function per question, one frozen value per answer."""
