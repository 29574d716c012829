"""A real Kubernetes control plane for tests and for use by hand, without a container engine."""
