"""The stack's certificate authority, its processes' certificates and their rotation."""
