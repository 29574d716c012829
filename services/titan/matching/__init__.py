"""The pure simulated venue."""
