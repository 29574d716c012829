"""Lines that native code writes to descriptor 2 become log lines, in a process whose own descriptor it is."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import asyncio, os
from titan.runtime.telemetry.logs import capture_native_log, configure_logging, get_logger
configure_logging("console", "info")
get_logger("early")
async def main():
    causes = []
    original = capture_native_log(asyncio.get_running_loop(), lambda: get_logger("brain"), causes.append)
    configure_logging("json", "info", original)
    os.write(2, b"E0808 23:54:15.123456 77 ssl_transport_security.cc:1884] Handshake failed with error SSL_ERROR_SSL: "
                b"error:10000070:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE: bad\\n")
    os.write(2, b"W0808 23:54:15.123456 77 channel.cc:12] something\\nplain words\\n")
    await asyncio.sleep(0.2)
    get_logger("brain").info("end", causes=causes)
asyncio.run(main())
"""


def test_each_native_line_is_one_log_line_and_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=30)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["role"], line["event"]) for line in lines] == [
        ("brain", "connection refused: TLS handshake failed"),
        ("brain", "grpc"),
        ("brain", "standard error"),
        ("brain", "end"),
    ]
    assert lines[-1]["causes"] == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]
