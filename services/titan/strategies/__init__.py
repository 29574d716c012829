"""Pure strategies."""
