"""Check 4: new revisions run on filled scratch databases, and what came of it, as facts."""
