"""A small account trades what ``policy verify`` says that it can, at each level of its way down and back."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from support.risk.scene import NOW, PERP, SECOND, budget, intent, risk_state, rules
from titan.domain.enums import Posture, RiskLevel
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.numbers import ZERO
from titan.domain.truth import TruthSnapshot
from titan.risk.allocation import AllocationState, allocate
from titan.risk.capacity import STOPS_BPS, TARGET_STOPS, Capacity, capacities
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine
from titan.risk.parameters import RiskParameters
from titan.risk.posture import level_posture
from titan.risk.risk_level import RiskLevelState, equity_floor, evaluate

MICRO, PARAMETERS = rules("micro"), RiskParameters()
PRICE = Decimal("61234.6")
CLEAN = TruthSnapshot(known=True, score=100)


def said(amount: str, level: RiskLevel) -> Capacity | None:
    """Return what ``policy verify`` prints for the perpetual; None at a level that opens nothing."""
    found = capacities(MICRO, Decimal(amount), PAPER_INSTRUMENTS, {PERP: PRICE}, PARAMETERS)
    return next((one for one in found if one.level is level), None)


def account(amount: str, peak: str) -> Equity:
    now, high = Decimal(amount), Decimal(peak)
    return Equity(
        known=True,
        equity=now,
        day_start_equity=now,
        high_water_mark=high,
        drawdown=(high - now) / high,
        net_deposits=Decimal(200),
        market_time_ns=NOW,
    )


def level_of(known: Equity) -> RiskLevel:
    pending = evaluate(RiskLevelState(), known, CLEAN, MICRO, PARAMETERS, NOW)
    second = msgspec.structs.replace(known, market_time_ns=NOW + 1)
    return evaluate(pending, second, CLEAN, MICRO, PARAMETERS, NOW + 2 * SECOND).level


def traded(known: Equity, level: RiskLevel) -> dict[int, list[Decimal]]:
    """Let two setups in a row ask at each stop; return the sizes of those that were taken."""
    sizes: dict[int, list[Decimal]] = {}
    for stop_bps in STOPS_BPS:
        made = risk_state(MICRO)
        made.limits.explorations_per_day = 0
        made.equity, made.risk_level = known, level
        made.posture = level_posture(level)
        floor = equity_floor(known, MICRO)
        allocation, _ = allocate(known.equity, floor, ("scavenger",), AllocationState(), PARAMETERS)
        weight = allocation.weights["scavenger"]
        made.phases["scavenger"].budget = budget(
            max_notional=known.equity * weight * 10,
            max_drawdown=known.equity * weight * Decimal("0.02"),
            weight=weight,
        )
        made.refresh()
        decisions = IntentDecisions(RiskEngine(made.limits, 1), made, lambda _state: None)
        distance = (PRICE * stop_bps / 10_000).quantize(Decimal("0.1"))
        asked = [
            intent(
                intent_id=f"018f{number}",
                event_time_ns=NOW + number,
                stop_price=PRICE - distance,
                target_price=PRICE + TARGET_STOPS * distance,
                setup_score=1.0,
                volatility=stop_bps / 10_000 / 4,
            )
            for number in range(2)
        ]
        answers = [decisions.decide(one, "scavenger", NOW) for one in asked]
        if taken := [one.quantity for one in answers if one.approved]:
            sizes[stop_bps] = taken
    return sizes


@pytest.mark.parametrize(
    ("description", "amount", "peak", "level"),
    [
        ("as it was opened", "200", "200", RiskLevel.NORMAL),
        ("5 % lost", "190", "200", RiskLevel.CAUTIOUS),
        ("just less than 10 % lost", "180.1", "200", RiskLevel.CAUTIOUS),
        ("10 % lost", "180", "200", RiskLevel.DEFENSIVE),
        ("and back", "198", "200", RiskLevel.NORMAL),
        ("a new account of 179", "179", "179", RiskLevel.NORMAL),
        ("which lost 5 %", "170", "179", RiskLevel.CAUTIOUS),
        ("at the floor", "150", "150", RiskLevel.NORMAL),
    ],
)
def test_it_trades_what_was_said(description: str, amount: str, peak: str, level: RiskLevel) -> None:
    known = account(amount, peak)
    assert level_of(known) is level, description
    sizes, expected = traded(known, level), said(amount, level)
    if expected is None:
        assert not sizes, description
        return
    lot = (expected.lot_notional / PRICE).quantize(Decimal("0.001"))
    assert sizes, description
    assert (min(sizes), max(sizes)) == (expected.smallest_stop_bps, expected.largest_stop_bps)
    assert max(max(taken) for taken in sizes.values()) // lot == expected.lots
    # One setup of two where a lot is thinned, and both where it is not.
    fewest = min(len(taken) for taken in sizes.values())
    assert fewest == (2 if expected.share == 1 else 1)


def test_below_the_floor_nothing_is_left_and_verify_says_stopped() -> None:
    known = account("149.99", "149.99")
    assert level_of(known) is RiskLevel.EMERGENCY
    assert level_posture(RiskLevel.EMERGENCY) is Posture.FLATTEN
    one = said("149.99", RiskLevel.NORMAL)
    assert one is not None
    assert one.stopped
    assert (one.lots, one.smallest_equity) == (ZERO, 150)
    assert one.reason.startswith("NO_ALLOCATION: ")
