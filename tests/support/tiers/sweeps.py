"""Sweeps: a sample by default, each case under TITAN_CHAOS=1 (``make chaos``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
T = TypeVar("T")


def swept(cases: Sequence[T], every: int) -> Sequence[T]:
    """Return the first, the last and each ``every``-th case; all of them under TITAN_CHAOS=1.

    Choose an ``every`` that shares no factor with a period of the cases, so that the sample meets each of its phases.
    """
    if CHAOS or len(cases) <= 1:
        return cases
    return [*cases[:-1:every], cases[-1]]
