"""A venue that fails: CLOSE_ONLY at once, what the policy names after one more window, and calm for ten minutes."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from support.risk.scene import PERP, rules
from titan.domain.enums import OrderRole, Posture
from titan.domain.positions import Holding
from titan.domain.venue_errors import WINDOW_NS, VenueErrors
from titan.execution.venue_watch import CALM_NS, VenueWatch


class Keeper:
    """Keeps the latch and the problem, as Execution's does."""

    def __init__(self) -> None:
        self.venue_problem = ""
        self.latch = SimpleNamespace(posture=Posture.ARMED)

    def tighten(self, posture: Posture, _by: str, _reason: str) -> None:
        self.latch.posture = posture


class Watched:
    """A watch over a venue that is called once a second."""

    def __init__(self, stop: str) -> None:
        order = SimpleNamespace(order_role=OrderRole.STOP, at_venue=True, symbol=PERP, remaining_quantity=Decimal(stop))
        account = SimpleNamespace(holdings={PERP: Holding(Decimal("-0.01"))}, working={"s": order})
        self.keeper, self.errors, self.now_ns = Keeper(), VenueErrors(), 0
        store: Any = SimpleNamespace(account=account)
        keeper: Any = self.keeper
        self.watch = VenueWatch(rules(), self.errors, store, keeper, lambda: self.now_ns)

    def run(self, windows: int, failing: int) -> None:
        """Let each window fail ``failing`` of its 60 calls."""
        for _ in range(windows * 60):
            self.errors.add_call(self.now_ns, failed=self.now_ns // 1_000_000_000 % 60 < failing)
            self.watch.check()
            self.now_ns += WINDOW_NS // 60


@pytest.mark.parametrize(("stop", "latch"), [("0.01", Posture.CLOSE_ONLY), ("0.009", Posture.FLATTEN)])
def test_a_failing_venue_closes_first_and_flattens_only_what_no_stop_covers(stop: str, latch: Posture) -> None:
    made = Watched(stop)
    made.run(2, failing=15)
    made.watch.check()
    assert made.keeper.venue_problem == "venue errors 0.25 of all calls in two minutes, level EMERGENCY"
    assert made.keeper.latch.posture is Posture.ARMED
    made.run(1, failing=15)
    made.watch.check()
    assert made.keeper.latch.posture is latch


def test_defensive_only_closes_and_is_left_after_ten_calm_minutes() -> None:
    made = Watched("0.01")
    made.run(4, failing=4)
    assert made.keeper.venue_problem
    made.run(CALM_NS // WINDOW_NS, failing=0)
    assert made.keeper.venue_problem
    made.run(3, failing=0)
    assert not made.keeper.venue_problem
    assert made.keeper.latch.posture is Posture.ARMED


def test_chance_failures_of_a_few_calls_do_nothing() -> None:
    made = Watched("0.01")
    made.run(3, failing=2)
    assert not made.keeper.venue_problem
