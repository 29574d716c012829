"""The phase process: runs one strategy."""
