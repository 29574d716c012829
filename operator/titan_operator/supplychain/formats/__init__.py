"""Pure: strict parsers of the formats of registries and cosign; any deviation is a :class:`FormatError`."""
