"""Scratch databases at a revision, and the running of single revisions on them."""
