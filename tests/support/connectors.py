"""Connections of aiohttp that end with their session."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.connector import NEEDS_CLEANUP_CLOSED


def ending_connector(context: ssl.SSLContext) -> aiohttp.TCPConnector:
    """Return a connector without a limit that aborts what is still on its way out when its session is closed.

    Before Python 3.12.7 the end of a TLS connection by handshake outlasts the session, and a test's event loop.
    """
    return aiohttp.TCPConnector(ssl=context, limit=0, enable_cleanup_closed=NEEDS_CLEANUP_CLOSED)
