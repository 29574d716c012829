"""The append-only file that is the authority, and the lease beside it."""
