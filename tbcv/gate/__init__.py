"""The gate: opinions about a change, and their proofs. Needs scratch databases, never a live one."""
