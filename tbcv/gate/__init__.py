"""Opinions and proofs about a change of the schema, found out on scratch databases and never on a live one."""
