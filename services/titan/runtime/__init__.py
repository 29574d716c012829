"""What every process shares: settings, logging, telemetry, health, gRPC with mTLS, lifecycle."""
