"""The names of a journal's first segments, and records of different sizes to write into them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/journal")
FIRST, SECOND = FOLDER / "00000001.journal", FOLDER / "00000002.journal"
PAYLOADS = [b"a" * 100, b"b" * 700, b"c", b"d" * 333, b"e" * 50]
