"""Scavenger: traps."""
