"""A status is written at once for another text, and once a minute for another number."""

from __future__ import annotations

from typing import Any

import pytest

from titan_operator.reconcile.status import differs

POSTURE = {"inForce": "ARMED", "openPositions": 1}


def status(message: str, equity: str = "200", ready: str = "False") -> dict[str, Any]:
    return {
        "equity": equity,
        "posture": POSTURE,
        "conditions": [{"type": "Ready", "status": ready, "reason": "Draining", "message": message}],
    }


OPEN = "Execution still has 1 open positions, 2 working orders"
ROWS: list[tuple[str, dict[str, Any], bool]] = [
    ("nothing", status(OPEN), False),
    ("a number of the account", status(OPEN, equity="199.5"), False),
    ("a count in a message", status("Execution still has 3 open positions, 1 working orders"), False),
    ("another sentence", status("closing to entries first (CLOSE_ONLY)"), True),
    ("a condition", status(OPEN, ready="True"), True),
    ("a posture", status(OPEN) | {"posture": {"inForce": "HALTED", "openPositions": 1}}, True),
    (
        "a number that is not known any more",
        {key: value for key, value in status(OPEN).items() if key != "equity"},
        True,
    ),
    ("a number that is known now", status(OPEN) | {"drawdown": "0.01"}, True),
    ("a count of the posture that is known now", status(OPEN) | {"posture": POSTURE | {"workingOrders": 0}}, True),
    ("a count of the posture", status(OPEN) | {"posture": {"inForce": "ARMED", "openPositions": 0}}, False),
]


@pytest.mark.parametrize(("what", "new", "written"), ROWS, ids=[row[0] for row in ROWS])
def test_a_status_is_written_for_what_changed(what: str, new: dict[str, Any], written: bool) -> None:
    old = status(OPEN)
    assert differs(old, new, moving_too=False) is written, what
    assert differs(old, new, moving_too=True) is (new != old), what
