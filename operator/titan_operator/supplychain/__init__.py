"""Whose images run: the trust policy, registries, signatures, and the verdict that is made of them."""
