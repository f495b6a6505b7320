"""What was changed, read from files and git: nothing of it is executed."""
