"""Admission: which images are listed, and whether the API server enforces the list."""
