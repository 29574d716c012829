"""Options of the stack's gRPC connections: sizes, keepalive, reconnection."""

from __future__ import annotations

_COMMON_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # A peer that is stopped (SIGSTOP, a frozen node) must be noticed although its socket stays open.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
]
SERVER_OPTIONS: list[tuple[str, int | str]] = [
    *_COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
]
CLIENT_OPTIONS: list[tuple[str, int | str]] = [
    *_COMMON_OPTIONS,
    # Without it channels to one address share a connection, and market data delays orders.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    # Despite its name: how long one attempt may take, handshake included. On a loaded machine that is not 50 ms.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
]

# Carries the role where a stack runs without TLS.
ROLE_HEADER = "titan-role"
