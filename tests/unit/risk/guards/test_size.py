"""The size that the guards leave: shrunk to every limit, and never above one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.changes import Change, granted, phase, setting, unchanged
from support.risk.scene import ETH, NOW, PERP, budget, decide, equity, intent, reserved, risk_state, rules
from titan.domain.enums import OrderType, RiskLevel, TimeInForce, Verdict
from titan.domain.reasons import Reason

SHRINKS: list[tuple[str, Change, dict[str, Any], int, str]] = [
    ("the requested notional", unchanged, {"max_notional": Decimal(130)}, 3, "0.002"),
    ("the budget", granted(max_notional=Decimal(400)), {}, 17, "0.006"),
    ("the margin", phase(margin_used=Decimal(85)), {}, 16, "0.004"),
    ("the day", setting(equity=equity("181.0")), {}, 17, "0.005"),
    ("CAUTIOUS halves", setting(risk_level=RiskLevel.CAUTIOUS, risk_reason="x"), {}, 2, "0.005"),
]


@pytest.mark.parametrize(("description", "change", "fields", "number", "quantity"), SHRINKS)
def test_what_shrinks_a_size(
    description: str, change: Change, fields: dict[str, Any], number: int, quantity: str
) -> None:
    decision = decide(risk_state(), intent(**fields), change)
    assert decision.approved, (description, decision.message)
    assert decision.quantity == Decimal(quantity), description


def test_one_dollar_more_of_room_passes() -> None:
    """The smallest size of BTC is .002 at 61,234.6: 122.4692 USDT of room pass, a cent less does not."""
    exact = decide(risk_state(rules(max_order_notional=Decimal("122.4692"))))
    assert exact.approved
    assert exact.quantity == Decimal("0.002")
    less = decide(risk_state(rules(max_order_notional=Decimal("122.4691"))))
    assert less.reason is Reason.BELOW_MINIMUM
    assert less.largest_notional == Decimal("122.4691")
    assert "minimum=122.4692" in less.message


def test_a_maker_pays_less_and_so_needs_less_edge() -> None:
    fields = {"target_price": Decimal("61500")}
    taker = decide(risk_state(), intent(**fields))
    maker = decide(
        risk_state(),
        intent(
            order_type=OrderType.LIMIT, limit_price=Decimal("61234.6"), time_in_force=TimeInForce.POST_ONLY, **fields
        ),
    )
    costs = [next(guard.limit for guard in one.guards if guard.number == 8) for one in (taker, maker)]
    assert "cost=0.00100163" in costs[0]
    assert "cost=0.00070163" in costs[1]


def test_wins_and_losses_move_the_probability() -> None:
    made = risk_state()
    made.phases["scavenger"].history.by_setup["breakout"] = (0, 40)
    losing = decide(made)
    assert losing.reason is Reason.EDGE_TOO_SMALL
    assert "wins=0/40" in losing.message
    # Another setup's record is not this one's.
    assert decide(made, intent(setup="other")).approved


def test_the_numbers_of_the_domain_s_example() -> None:
    """At 11 bps and score .8, stop + target of 183 bps is what passes under standard, 61 under demo."""
    for name, wanted_bps in (("standard", 183), ("demo", 61)):
        policy = rules(name)
        made = risk_state(policy)
        held = made.symbols[PERP]
        held.quote(Decimal(100_000), Decimal(100_010), NOW)  # 1 bp of spread and 2 x 5 bps of fees
        verdicts = []
        for total_bps in (wanted_bps - 2, wanted_bps + 2):
            stop = round(total_bps / 3)
            one = decide(
                made,
                intent(
                    reference_price=Decimal(100_010),
                    stop_price=Decimal(100_010 - 10 * stop),
                    target_price=Decimal(100_010 + 10 * (total_bps - stop)),
                ),
            )
            verdicts.append(next(guard.verdict for guard in one.guards if guard.number == 8))
        assert verdicts[0] is Verdict.REJECT, name
        assert verdicts[1] in (Verdict.PASS, Verdict.SHRINK), name


@given(
    equity_now=st.decimals(150, 100_000, places=2),
    used=st.decimals(0, 5_000, places=2),
    stop_ticks=st.integers(1, 3_000),
    target_ticks=st.integers(1, 9_000),
    score=st.floats(0, 1),
    requested=st.decimals(0, 20_000, places=2),
    symbol=st.sampled_from([PERP, ETH]),
)
def test_an_approved_size_keeps_every_limit(
    equity_now: Decimal,
    used: Decimal,
    stop_ticks: int,
    target_ticks: int,
    score: float,
    requested: Decimal,
    symbol: str,
) -> None:
    made = risk_state()
    made.equity = equity(str(equity_now), day_start_equity=equity_now)
    made.phases["scavenger"].budget = budget(max_notional=equity_now * 10)
    reserved(made, str(used + 1))
    held = made.symbols[symbol]
    tick = held.instrument.tick_size
    decision = decide(
        made,
        intent(
            symbol=symbol,
            reference_price=held.ask,
            stop_price=held.ask - stop_ticks * tick,
            target_price=held.ask + target_ticks * tick,
            setup_score=score,
            max_notional=requested,
        ),
    )
    if not decision.approved:
        return
    instrument = held.instrument
    loss = decision.notional * (stop_ticks * tick / held.ask + held.cost_taker)
    assert instrument.refusal(decision.quantity, None, held.ask) is None
    assert decision.notional <= (requested or decision.notional)
    assert loss <= equity_now * Decimal("0.01")
    assert made.gross_notional + decision.notional <= equity_now * 10
    assert decision.notional + used <= equity_now * 10
    assert decision.notional <= 10_000


def test_a_decision_can_be_made_twice_and_is_the_same() -> None:
    made = risk_state()
    assert msgspec.structs.asdict(decide(made)) == msgspec.structs.asdict(decide(made))
