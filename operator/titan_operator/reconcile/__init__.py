"""Decide one reconcile pass: observed state in, effects and outcomes out. Pure."""
