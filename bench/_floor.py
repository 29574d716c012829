"""One process of the floor: a bare gRPC stream hop, on the last one a bare fdatasync. Of Titan only the TLS files.

Run: ``python bench/_floor.py PORT NEXT_PORT BYTES TLS_DIR|- NEXT_ROLE FILE``; NEXT_PORT 0 makes it the last.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

METHOD = "/floor/Hop"
PREALLOCATED_BYTES = 64 << 20


def credentials(tls_dir: str) -> tuple[Any, Any]:
    """Server and channel credentials from a folder as every process has one."""
    ca, key, cert = (Path(tls_dir, name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    return grpc.ssl_server_credentials([(key, cert)], ca, True), grpc.ssl_channel_credentials(ca, key, cert)


def open_channel(port: int, tls_dir: str, role: str) -> grpc.aio.Channel:
    if tls_dir == "-":
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    name = [("grpc.ssl_target_name_override", f"{role}.titan.internal")]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials(tls_dir)[1], options=name)


async def serve(port: int, next_port: int, size: int, tls_dir: str, next_role: str, output: Path) -> None:
    passed: list[tuple[int, int, int]] = []
    onward: Any = None
    if next_port:
        channel = open_channel(next_port, tls_dir, next_role)
        onward = channel.stream_stream(METHOD)(wait_for_ready=True)
    # The same disk and the same kind of file as the journal's: zeros written beforehand.
    file = os.open(output.with_suffix(".floor"), os.O_RDWR | os.O_CREAT, 0o600)
    os.write(file, bytes(PREALLOCATED_BYTES if not next_port else 0))
    os.fsync(file)
    position = 0

    async def hop(requests: AsyncIterator[bytes], _context: Any) -> None:
        nonlocal position
        async for request in requests:
            if onward is not None:
                await onward.write(request[:8] + bytes(size - 8))
                continue
            before_ns = time.perf_counter_ns()
            os.pwrite(file, request, position)
            os.fdatasync(file)
            after_ns = time.perf_counter_ns()
            position = (position + len(request)) % (PREALLOCATED_BYTES - size)
            passed.append((struct.unpack("q", request[:8])[0], after_ns, after_ns - before_ns))

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.stream_stream_rpc_method_handler(hop)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor", {"Hop": handler}),))
    if tls_dir == "-":
        server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        server.add_secure_port(f"127.0.0.1:{port}", credentials(tls_dir)[0])
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    gc.collect()
    gc.freeze()
    await stopped.wait()
    if not next_port:
        output.write_text(json.dumps(passed))
    await server.stop(0)


if __name__ == "__main__":
    _, port_text, next_text, size_text, tls, next_role_name, path = sys.argv
    uvloop.run(serve(int(port_text), int(next_text), int(size_text), tls, next_role_name, Path(path)))
