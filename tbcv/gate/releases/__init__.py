"""Check 5: what one release executes, on the schema of another."""
