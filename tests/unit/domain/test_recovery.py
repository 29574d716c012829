from __future__ import annotations

import pytest

from titan.domain.enums import Posture
from titan.domain.recovery import JournalMemory, start_doubts, tables_ahead

ARMED, CLOSE_ONLY, HALTED, FLATTEN = Posture.ARMED, Posture.CLOSE_ONLY, Posture.HALTED, Posture.FLATTEN


@pytest.mark.parametrize(
    ("description", "recorded", "latch", "never_set", "lowered", "says"),
    [
        ("a new stack", None, CLOSE_ONLY, True, None, ""),
        ("a latch that was set before the journal knew it", None, ARMED, False, None, ""),
        ("as recorded", ARMED, ARMED, False, None, ""),
        ("lower than recorded: the latch is stored first", ARMED, HALTED, False, None, ""),
        ("its file is gone", ARMED, CLOSE_ONLY, True, HALTED, "the latch is missing"),
        ("its file is gone after a halt", HALTED, CLOSE_ONLY, True, HALTED, "the latch is missing"),
        ("restored from an older copy", HALTED, ARMED, False, HALTED, "its file is older"),
        ("an act that was stored in the journal only", FLATTEN, CLOSE_ONLY, False, FLATTEN, "its file is older"),
    ],
)
def test_the_latch_against_the_journal(
    description: str, recorded: Posture | None, latch: Posture, never_set: bool, lowered: Posture | None, says: str
) -> None:
    doubts = start_doubts(JournalMemory(latch=recorded, term=3), latch, never_set, 4)
    assert [doubt.posture for doubt in doubts] == ([] if lowered is None else [lowered]), description
    assert all(says in doubt.message for doubt in doubts)


@pytest.mark.parametrize(("term", "doubted"), [(1, True), (7, True), (8, False)])
def test_a_term_that_was_used_before_proves_that_the_lease_was_lost(term: int, doubted: bool) -> None:
    doubts = start_doubts(JournalMemory(term=7), ARMED, False, term)
    assert [doubt.posture for doubt in doubts] == ([CLOSE_ONLY] if doubted else [])
    assert all(f"the lease's term is {term}, and the journal's last is 7" in doubt.message for doubt in doubts)


@pytest.mark.parametrize(("stored", "last", "ahead"), [(0, 0, False), (5, 5, False), (4, 9, False), (6, 5, True)])
def test_tables_with_records_that_the_journal_lacks(stored: int, last: int, ahead: bool) -> None:
    text = tables_ahead(stored, last)
    assert bool(text) is ahead
    assert not ahead or "records up to 6, the journal ends at 5" in text
