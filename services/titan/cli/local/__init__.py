"""Commands for a stack of local processes."""
