"""The execution process: orders, journal, reconciliation."""
