"""Pure: what registries and cosign write, read strictly; what is not as it must be is a :class:`FormatError`."""
