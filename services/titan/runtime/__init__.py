"""Shared shell of the processes: settings, logging, telemetry, health, gRPC with mTLS, lifecycle."""
