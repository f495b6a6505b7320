"""Check 6: from facts to hazards, the one place with opinions."""
