"""gRPC between processes: mutual TLS, roles by certificate, long-lived streams."""
