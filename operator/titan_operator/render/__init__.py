"""Render a plan: Kubernetes objects or local processes. Pure."""
