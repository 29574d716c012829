"""Trust in images and policies: the trust policy, registries, signatures, and the verdict on them."""
