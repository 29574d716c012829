"""The truth score's arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.enums import DriftClass
from titan.domain.truth import (
    UNKNOWN_TRUTH,
    Drift,
    TruthSnapshot,
    after_pass,
    after_silence,
    classify_position,
    points_lost_to_silence,
)

D = Decimal
KNOWN = TruthSnapshot(known=True, score=90)


def drift(kind: DriftClass, resolved: bool = True) -> Drift:
    return Drift(drift_class=kind, symbol="s", ours="1", venues="2", resolved=resolved)


@pytest.mark.parametrize(
    ("description", "before", "drifts", "known", "score", "unresolved"),
    [
        ("the first clean pass makes it known, at 100", UNKNOWN_TRUTH, [], True, 100, 0),
        ("a first pass with a drift leaves it unknown", UNKNOWN_TRUTH, [drift(DriftClass.BALANCE)], False, 0, 0),
        ("a clean pass heals by 5", KNOWN, [], True, 95, 0),
        ("never above 100", TruthSnapshot(known=True, score=98), [], True, 100, 0),
        ("a plain drift costs 20", KNOWN, [drift(DriftClass.MISSED_FILL)], True, 70, 0),
        ("a critical one 40", KNOWN, [drift(DriftClass.GHOST, resolved=False)], True, 50, 1),
        ("they add", KNOWN, [drift(DriftClass.UNTRACKED), drift(DriftClass.ORPHAN_ORDER)], True, 30, 0),
        ("never below 0", KNOWN, [drift(DriftClass.GHOST)] * 3, True, 0, 0),
    ],
)
def test_passes(
    description: str, before: TruthSnapshot, drifts: list[Drift], known: bool, score: int, unresolved: int
) -> None:
    after = after_pass(before, drifts, "a", "b", 7)
    assert (after.known, after.score, after.unresolved) == (known, score, unresolved), description
    assert (after.ours_sha256, after.venues_sha256, after.passes) == ("a", "b", before.passes + 1)


@pytest.mark.parametrize(("seconds", "points"), [(0, 0), (10, 0), (10.9, 0), (11, 1), (25, 15)])
def test_silence_costs_a_point_a_second_beyond_ten(seconds: float, points: int) -> None:
    assert points_lost_to_silence(int(seconds * 1e9)) == points


def test_silence_moves_only_what_is_known() -> None:
    assert after_silence(KNOWN, 15).score == 75
    assert after_silence(KNOWN, 500).score == 0
    assert after_silence(UNKNOWN_TRUTH, 15) == UNKNOWN_TRUTH


@pytest.mark.parametrize(
    ("description", "ours", "venues", "kind"),
    [
        ("equal", "1", "1", None),
        ("both flat", "0", "0", None),
        ("dust below the smallest lot is zero", "0", "0.0005", None),
        ("only ours", "0.5", "0", DriftClass.GHOST),
        ("only the venue's", "0", "-0.5", DriftClass.UNTRACKED),
        ("sizes differ", "1", "1.01", DriftClass.SIZE_MISMATCH),
        ("the sides differ", "1", "-1", DriftClass.SIZE_MISMATCH),
        ("within 0.1 %", "1", "1.0009", None),
        ("more than 0.1 %, and within 1e-4", "0.01", "0.01005", None),
    ],
)
def test_positions(description: str, ours: str, venues: str, kind: DriftClass | None) -> None:
    found = classify_position("s", D(ours), D(venues), D("0.001"))
    assert (found.drift_class if found else None) is kind, description
