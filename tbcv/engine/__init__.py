"""Databases as such: URLs, engines, transactions that hold, and scratch databases. Knows no schema."""
