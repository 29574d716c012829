"""Small recordings in Binance's raw form, for tests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from titan.domain.time import NS_PER_MS

START_NS = 1_723_161_255_000_000_000
START_MS = START_NS // NS_PER_MS


def spot_lines(symbol: str = "BTCUSDT") -> list[tuple[int, Any]]:
    """Offset in milliseconds and message: differences before and after a snapshot, tickers, a trade."""

    def depth(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
        data = {"e": "depthUpdate", "E": START_MS + 1, "s": symbol, "U": first, "u": last, "b": bids, "a": asks}
        return {"stream": "depth", "data": data}

    def ticker(update_id: int, bid: str, bid_size: str, ask: str) -> dict[str, Any]:
        return {"stream": "t", "data": {"u": update_id, "s": symbol, "b": bid, "B": bid_size, "a": ask, "A": "2.00"}}

    trade = {
        "e": "trade",
        "E": START_MS + 5,
        "s": symbol,
        "t": 77,
        "p": "100.10",
        "q": "0.5",
        "T": START_MS + 4,
        "m": True,
        "M": True,
    }
    return [
        (0, depth(1, 5, [["1.00", "1"]], [])),
        (10, depth(6, 12, [["100.00", "1.0"]], [["100.10", "2.00"]])),
        (20, {"lastUpdateId": 10, "bids": [["99.90", "3"]], "asks": [["100.10", "1"], ["100.20", "1"]]}),
        (30, ticker(12, "100.00", "1.0", "100.10")),
        (40, {"stream": "trade", "data": trade}),
        (50, depth(13, 15, [["100.00", "0"]], [])),
        (60, ticker(14, "99.90", "3", "100.10")),
    ]


def write(path: Path, lines: list[tuple[int, Any]], start_ns: int = START_NS) -> Path:
    """Write a recording; a message that is a string is written as it is."""
    text = "".join(
        f"{start_ns + offset_ms * NS_PER_MS} {message if isinstance(message, str) else json.dumps(message)}\n"
        for offset_ms, message in lines
    )
    path.write_bytes(gzip.compress(text.encode()))
    return path
