"""The Venue protocol and its adapters."""
