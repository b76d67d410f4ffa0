"""Ledgers: what sessions and tenants have used, counted for all processes at once."""
