"""Compare live objects with wanted ones. Pure."""
