"""The rate of venue errors: two windows in a row with enough calls, or it is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.risk.scene import rules
from titan.domain.enums import Posture, RiskLevel
from titan.domain.venue_errors import WINDOW_NS, VenueErrors, error_level, failure_posture

# (calls, failures) of the windows before the present one, oldest first.
RATES: list[tuple[str, list[tuple[int, int]], str | None]] = [
    ("no call", [], None),
    ("one window only", [(20, 4)], None),
    ("too few calls in one", [(20, 4), (19, 4)], None),
    ("a window without calls between", [(20, 4), (0, 0)], None),
    ("the lower of the two", [(20, 4), (40, 4)], "0.1"),
    ("older windows do not count", [(20, 20), (20, 1), (20, 1)], "0.05"),
    ("unknown outcomes of earlier calls", [(20, 30), (20, 30)], "1"),
]


@pytest.mark.parametrize(("description", "windows", "expected"), RATES)
def test_the_rate_of_two_windows(description: str, windows: list[tuple[int, int]], expected: str | None) -> None:
    errors = VenueErrors()
    for window, (calls, failures) in enumerate(windows):
        for call in range(calls):
            errors.add_call(window * WINDOW_NS + call, failed=call < failures)
        for _ in range(failures - calls):
            errors.add_unknown(window * WINDOW_NS + calls)
    # Calls of the present window do not count yet.
    now_ns = len(windows) * WINDOW_NS
    for _ in range(50):
        errors.add_call(now_ns, failed=True)
    assert errors.rate(now_ns) == (None if expected is None else Decimal(expected)), description


@pytest.mark.parametrize(
    ("rate", "level"),
    [
        (None, RiskLevel.NORMAL),
        ("0.0499", RiskLevel.NORMAL),
        ("0.05", RiskLevel.DEFENSIVE),
        ("0.2", RiskLevel.EMERGENCY),
    ],
)
def test_the_level_of_a_rate(rate: str | None, level: RiskLevel) -> None:
    assert error_level(None if rate is None else Decimal(rate), rules()) is level


@pytest.mark.parametrize(
    ("word", "confirmed", "posture"),
    [
        ("flatten", False, Posture.FLATTEN),
        ("flatten", True, Posture.CLOSE_ONLY),
        ("halt", True, Posture.HALTED),
        ("close_only", False, Posture.CLOSE_ONLY),
    ],
)
def test_what_follows_a_venue_that_fails(word: str, confirmed: bool, posture: Posture) -> None:
    assert failure_posture(rules(on_venue_failure=word), confirmed) is posture
