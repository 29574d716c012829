"""Identifiers: sortable ids, and the deterministic client order id that makes a send repeatable."""

from __future__ import annotations

import base64
import hashlib

from titan.domain.enums import OrderRole
from titan.domain.time import NS_PER_MS


def uuid7(time_ns: int, random_bits: int) -> str:
    """Make a UUIDv7 (RFC 9562) from a time and 74 random bits; sorts by time in milliseconds.

    Parameters
    ----------
    time_ns
        UTC nanoseconds: market time, so that ids of a replay sort like its events.
    random_bits
        Randomness from the caller: the core has none of its own.
    """
    milliseconds = (time_ns // NS_PER_MS) & 0xFFFF_FFFF_FFFF
    value = (
        milliseconds << 80 | 0x7 << 76 | ((random_bits >> 62) & 0xFFF) << 64 | 0b10 << 62 | random_bits & (1 << 62) - 1
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def client_order_id(intent_id: str, order_role: OrderRole, attempt: int) -> str:
    """Name the order of one role and attempt of an intent.

    Returns
    -------
    str
        ``t`` and 31 characters of base32 of the SHA-256: [a-z2-7], which every venue in scope accepts.
    """
    digest = hashlib.sha256(f"{intent_id}\n{order_role.name}\n{attempt}".encode()).digest()
    # 20 bytes make the 31 characters that are kept; to encode the rest would only cost time on the order path.
    return "t" + base64.b32encode(digest[:20]).decode().lower()[:31]
