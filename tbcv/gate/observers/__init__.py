"""What one statement of a revision did, read from the engine's own catalogs right after it."""
