"""Units of time in nanoseconds, and the UTC day of a time."""

from __future__ import annotations

NS_PER_MS = 1_000_000
NS_PER_S = 1_000 * NS_PER_MS
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_DAY = 24 * 60 * NS_PER_MINUTE


def utc_day(time_ns: int) -> int:
    """Number of the UTC day that ``time_ns`` falls into, counted from the epoch."""
    return time_ns // NS_PER_DAY
