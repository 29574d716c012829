"""Whose signatures make an image run: registries, signature formats, keys, and the verdict."""
