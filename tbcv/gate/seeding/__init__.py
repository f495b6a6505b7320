"""What `tbcv.gate.seed` builds on: the tables to be filled, and the values to fill them with."""
