"""The guards of Brain, in their order: checks, then those that size."""
