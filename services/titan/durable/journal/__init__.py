"""The append-only journal: the authority for everything that Execution did."""
