"""The HTTP interface: is the process alive, is it ready, and where does the schema stand."""
