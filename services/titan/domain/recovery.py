"""What a recovered journal proves about the latch, the lease and the tables beside it. Pure.

A file that is missing is no evidence that it never was: the journal tells what stood in it.
"""

from __future__ import annotations

import msgspec

from titan.domain.enums import Posture


class JournalMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal's records say about other files.

    Attributes
    ----------
    last_ns
        Market time of the last record; 0 for none.
    latch
        The posture of the last act on the latch; None when there was none.
    term
        The highest term of the lease under which a record was written; 0 for none.
    """

    last_ns: int = 0
    latch: Posture | None = None
    term: int = 0


class StartDoubt(msgspec.Struct, frozen=True):
    """A reason to start no higher than ``posture``."""

    posture: Posture
    message: str


def start_doubts(memory: JournalMemory, latch: Posture, never_set: bool, term: int) -> list[StartDoubt]:
    """Compare latch and lease with the journal; return what does not fit.

    Parameters
    ----------
    latch, never_set
        The stored latch, and whether no act has ever set it.
    term
        The term of the lease that this process holds.
    """
    doubts = []
    recorded = memory.latch
    if recorded is not None and never_set:
        doubts.append(
            StartDoubt(
                Posture.HALTED,
                f"the latch is missing, and the journal's last act set it to {recorded.name}: its file was lost",
            )
        )
    elif recorded is not None and recorded < latch:
        doubts.append(
            StartDoubt(
                recorded,
                f"the latch is {latch.name}, and the journal's last act set it to {recorded.name}: its file is older",
            )
        )
    if term <= memory.term:
        doubts.append(
            StartDoubt(
                Posture.CLOSE_ONLY,
                f"the lease's term is {term}, and the journal's last is {memory.term}: the lease's folder was lost",
            )
        )
    return doubts


def tables_ahead(stored: int, last_sequence: int) -> str:
    """Return the sentence for tables that hold records which the journal has not; empty when they do not."""
    if stored <= last_sequence:
        return ""
    return (
        f"database: the tables hold the journal's records up to {stored}, the journal ends at {last_sequence}: it lost "
        "its end, or the tables are another stack's; keep them as evidence, and give Execution an empty database"
    )
