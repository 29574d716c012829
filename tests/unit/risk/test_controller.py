"""The risk controller without a process: a latch in memory and a listener that records each notification."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.risk.scene import NOW, SECOND, equity, risk_state
from titan.domain.budgets import Budget
from titan.domain.enums import BudgetState, Posture, RiskLevel
from titan.domain.posture import PostureState
from titan.domain.time import NS_PER_DAY, utc_day
from titan.domain.trip_results import DayResult, DayResults
from titan.risk.allocation import AllocationState
from titan.risk.controller import RISK_LEVEL_ACTOR, RiskController
from titan.risk.performance import CapitalState
from titan.risk.risk_level import RiskLevelState
from titan.risk.state import RiskState


class MemoryLatch:
    """A latch without a disk."""

    def __init__(self, posture: Posture = Posture.ARMED) -> None:
        self.posture, self.never_set, self.by, self.reason = posture, False, "tester", "a test"

    def lower(self, posture: Posture, by: str, reason: str) -> str:
        if posture < self.posture:
            self.posture, self.by, self.reason = posture, by, reason
        return ""


class Recorder:
    """Records each notification by its kind, with the latch's posture at that moment."""

    def __init__(self, latch: MemoryLatch) -> None:
        self.latch = latch
        self.events: list[tuple[str, object]] = []
        self.latch_at_emergency: Posture | None = None

    def on_level_state(self, state: RiskLevelState, before: RiskLevelState) -> None:
        self.events.append(("level", state.level))

    def on_allocation_state(self, state: AllocationState) -> None:
        self.events.append(("allocation", state.eligible))

    def on_capital_state(self, state: CapitalState) -> None:
        self.events.append(("capital", state.by_phase))

    def on_quality(self, entries: tuple[float | None, ...]) -> None:
        self.events.append(("quality", entries))

    def on_emergency(self, reason: str) -> None:
        self.latch_at_emergency = self.latch.posture
        self.events.append(("emergency", reason))

    def on_posture(self, state: PostureState) -> None:
        self.events.append(("posture", state.in_force))

    def on_budget(self, budget: Budget) -> None:
        self.events.append(("budget", (budget.budget_id, budget.state)))

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        self.events.append(("expired", (phase_id, reason)))

    def of(self, kind: str) -> list[object]:
        return [content for name, content in self.events if name == kind]


class Controlled:
    """A controller with all that surrounds it; only the scavenger is connected."""

    def __init__(self, latch: Posture = Posture.ARMED) -> None:
        self.state: RiskState = risk_state()
        for phase in self.state.phases.values():
            phase.budget = None
        self.state.phases["scavenger"].connected = True
        self.latch = MemoryLatch(latch)
        self.recorder = Recorder(self.latch)
        self.controller = RiskController(self.state, self.latch, Posture.ARMED, 1, self.recorder)


def test_an_evaluation_grants_a_budget_each_period_to_connected_phases() -> None:
    made = Controlled()
    made.controller.evaluate(0)
    assert made.recorder.of("budget") == [], "before the market begins nothing is granted"
    for second in (0, 1, 4, 5):
        made.controller.evaluate(NOW + second * SECOND)
    assert made.recorder.of("budget") == [
        ("scavenger-1-1", BudgetState.ACTIVE),
        ("scavenger-1-2", BudgetState.ACTIVE),
    ]
    assert made.recorder.of("allocation") == [("scavenger",)]
    assert made.state.phases["scavenger"].budget is not None
    assert made.state.phases["hunter"].budget is None


def test_an_expired_budget_is_reported_once_and_again_after_the_next_one() -> None:
    made = Controlled()
    made.controller.evaluate(NOW)
    made.state.phases["scavenger"].connected = False
    for second in (9, 10, 11, 20):
        made.controller.evaluate(NOW + second * SECOND)
    assert made.recorder.of("expired") == [("scavenger", "budget scavenger-1-1 has expired")]
    made.state.phases["scavenger"].connected = True
    made.controller.grant_budgets(NOW + 21 * SECOND)
    made.state.phases["scavenger"].connected = False
    made.controller.evaluate(NOW + 31 * SECOND)
    assert made.recorder.of("expired")[1:] == [("scavenger", "budget scavenger-1-2 has expired")]


def test_an_emergency_lowers_the_latch_before_it_is_reported_and_only_once() -> None:
    made = Controlled()
    for second in (1, 2, 3):
        made.state.equity = equity("160", drawdown=Decimal("0.2"), market_time_ns=NOW + second)
        made.controller.evaluate(NOW + second)
    assert len(made.recorder.of("emergency")) == 1
    assert made.recorder.latch_at_emergency is Posture.FLATTEN
    assert made.latch.by == RISK_LEVEL_ACTOR
    assert made.controller.state.in_force is Posture.FLATTEN
    assert (made.state.posture, made.state.risk_level) == (Posture.FLATTEN, RiskLevel.EMERGENCY)
    kinds = [kind for kind, _ in made.recorder.events]
    assert kinds.index("emergency") < kinds.index("posture")


def test_a_lower_ceiling_lowers_the_latch_and_a_higher_one_raises_nothing() -> None:
    made = Controlled()
    assert made.controller.set_ceiling(Posture.CLOSE_ONLY, "operator") == ""
    assert made.controller.update_posture()
    assert made.controller.set_ceiling(Posture.ARMED, "operator") == ""
    assert made.controller.update_posture(), "the ceiling itself is a part of the posture"
    assert (made.controller.state.ceiling, made.controller.state.in_force) == (Posture.ARMED, Posture.CLOSE_ONLY)
    assert not made.controller.update_posture()


@pytest.mark.parametrize(
    ("latch", "in_force", "reason"),
    [
        (Posture.ARMED, Posture.CLOSE_ONLY, "the database is away"),
        (Posture.HALTED, Posture.HALTED, "latch HALTED by tester: a test"),
    ],
)
def test_what_blocks_opening_caps_the_posture(latch: Posture, in_force: Posture, reason: str) -> None:
    made = Controlled(latch)
    made.controller.blocked = "the database is away"
    made.controller.update_posture()
    assert (made.controller.state.in_force, made.controller.state.reason) == (in_force, reason)


def test_a_stored_level_is_restored_unless_it_is_milder() -> None:
    made = Controlled()
    made.controller.restore_level(RiskLevelState(RiskLevel.DEFENSIVE, "before"))
    assert made.recorder.events == []
    made.controller.restore_level(RiskLevelState(RiskLevel.CAUTIOUS, "older"))
    assert made.controller.level.reason == "before"
    assert made.recorder.of("level") == [RiskLevel.DEFENSIVE], "the worse one is stored again"


def test_unknown_equity_allocates_nothing_and_keeps_the_hysteresis() -> None:
    made = Controlled()
    made.controller.restore_allocation(AllocationState(1, ("scavenger",)))
    made.state.equity = equity(known=False)
    made.controller.evaluate(NOW)
    assert made.controller.allocation_state == AllocationState(1, ("scavenger",))
    assert made.recorder.of("budget") == [("scavenger-1-1", BudgetState.CLOSE_ONLY)]
    assert made.recorder.of("allocation") == []


def test_one_print_enters_no_tier_and_makes_no_phase_eligible() -> None:
    """Equity 2,400 shows 2,510 once: hunter, which starts at 2,500, would stay eligible down to 2,250."""
    made = Controlled()
    for number, (shown, confirmed) in enumerate((("2400", 2400), ("2510", 2400), ("2400", 2400))):
        made.state.equity = equity(shown, confirmed_equity=Decimal(confirmed), day_start_equity=Decimal(2400))
        made.controller.evaluate(NOW + number * 5 * SECOND)
        assert made.controller.allocation_state.eligible == ("scavenger",)
    made.state.equity = equity("2510", day_start_equity=Decimal(2400))
    made.controller.evaluate(NOW + 20 * SECOND)
    assert made.controller.allocation_state.eligible == ("scavenger", "hunter")


def test_a_new_trade_counts_a_loss_that_one_print_shows() -> None:
    made = Controlled()
    made.state.equity = equity("193", confirmed_equity=Decimal(200))
    made.controller.evaluate(NOW)
    assert (made.state.day_loss, made.controller.level.level) == (7, RiskLevel.NORMAL)


def test_a_budget_opens_by_the_lower_equity_and_allocates_by_the_confirmed_one() -> None:
    made = Controlled()
    for shown, confirmed in (("190", 200), ("200", 190)):
        made.state.equity = equity(shown, confirmed_equity=Decimal(confirmed))
        made.controller.grant_budgets(NOW)
        granted = made.state.phases["scavenger"].budget
        assert granted is not None
        assert granted.allocation == confirmed
        assert (granted.max_notional, granted.max_drawdown) == (190 * granted.max_leverage, Decimal("3.8"))


def test_the_first_budget_with_weight_of_a_day_is_stored() -> None:
    made = Controlled()
    today = utc_day(NOW)
    made.state.equity = equity(known=False)
    made.controller.evaluate(NOW)
    assert made.recorder.of("capital") == []
    for number, amount in enumerate(("200", "210")):
        made.state.equity = equity(amount)
        made.controller.grant_budgets(NOW + number * SECOND)
    made.controller.grant_budgets(NOW + NS_PER_DAY)
    first, second = (today, Decimal(200)), (today + 1, Decimal(210))
    assert made.recorder.of("capital") == [{"scavenger": (first,)}, {"scavenger": (first, second)}]


def test_daily_returns_decide_the_modifier_and_a_restart_keeps_it() -> None:
    """Thirty days that lose: the budget names half the size, here and in a Brain that starts with the stored days."""
    before = Controlled()
    for day in range(30):
        before.controller.grant_budgets(NOW + day * NS_PER_DAY)
    yesterdays = tuple(DayResult(utc_day(NOW) + day, Decimal(-1 - day % 2), 1) for day in range(30))
    after, forgetful = Controlled(), Controlled()
    after.controller.restore_capital(before.state.capital.state)
    assert after.recorder.events == [], "what is stored already is not stored again"
    reasons = []
    for made in (before, after, forgetful):
        made.state.phases["scavenger"].history.days = DayResults(yesterdays)
        made.controller.grant_budgets(NOW + 30 * NS_PER_DAY)
        granted = made.state.phases["scavenger"].budget
        assert granted is not None
        reasons.append((granted.modifier, granted.modifier_reason))
    half = (Decimal("0.5"), "psr=0.000 of 30 days, 30 trades")
    assert reasons == [half, half, (1, "0 of 30 days")]


def test_allocations_that_the_database_did_not_have_are_stored_again() -> None:
    made = Controlled()
    made.controller.grant_budgets(NOW)
    stored = CapitalState({"scavenger": ((utc_day(NOW) - 1, Decimal(180)),)})
    made.controller.restore_capital(stored)
    both = (*stored.by_phase["scavenger"], (utc_day(NOW), Decimal(200)))
    assert made.recorder.of("capital")[-1] == {"scavenger": both}
