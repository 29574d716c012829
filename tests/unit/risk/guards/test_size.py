"""The size that the guards leave: shrunk to every limit, and never above one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.changes import Change, granted, phase, setting, unchanged
from support.risk.scene import ETH, NOW, PERP, budget, decide, equity, hold, intent, reserved, risk_state, rules
from titan.domain.enums import Action, OrderType, RiskLevel, Side, TimeInForce, Verdict
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.risk.engine import reserve
from titan.risk.state import RiskState

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


def a_sale(limit_price: str, **fields: Any) -> Intent:
    return intent(
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        limit_price=Decimal(limit_price),
        reference_price=Decimal(limit_price),
        **{"stop_price": Decimal(limit_price) + 600, "target_price": Decimal(limit_price) - 2_000, **fields},
    )


def rich(**changed: Any) -> RiskState:
    made = risk_state(rules(max_loss_per_trade=Decimal(1), max_daily_loss=Decimal(10**9), **changed))
    made.equity = equity("100000", day_start_equity=Decimal(100_000))
    made.phases["scavenger"].budget = budget(max_notional=Decimal(10**6))
    return made


def test_a_sale_below_the_bid_is_measured_at_the_bid() -> None:
    """It fills at the bid, 61,234.5: 0.165 would be sold for 10,103.69, 0.163 for 9,981.22."""
    made = rich(max_order_notional=Decimal(10_000))
    intent_ = a_sale("60600")
    decision = decide(made, intent_)
    assert decision.approved, decision.message
    assert (decision.quantity, decision.notional) == (Decimal("0.163"), Decimal("9981.2235"))
    # Stop and target are measured at the limit, the worst price for the phase.
    assert decision.reference_price == Decimal(60_600)
    reserve(made, intent_, decision)
    made.refresh()
    assert made.gross_notional == Decimal("9981.2235")
    # After a restart Execution's working order has only its limit price.
    held = made.reservations.entries[intent_.intent_id]
    made.reservations.entries[intent_.intent_id] = msgspec.structs.replace(held, price=Decimal(60_600))
    made.refresh()
    assert made.gross_notional == Decimal("9981.2235")


def test_a_close_beyond_the_share_is_measured_at_the_bid() -> None:
    made = hold(rich(max_order_notional=Decimal(10_000)), "0.001")
    decision = decide(made, a_sale("60600", action=Action.CLOSE, quantity=Decimal("0.165")))
    assert decision.approved, decision.message
    assert (decision.quantity, decision.notional) == (Decimal("0.163"), Decimal("9981.2235"))


def test_the_venues_minimum_is_measured_at_the_limit() -> None:
    """100 USDT at 45,000 are 0.003 BTC, which would fill for 183.7035; at the bid 0.002 would be enough."""
    for room, quantity in (("183.7035", "0.003"), ("183.7034", "0")):
        decision = decide(rich(max_order_notional=Decimal(room)), a_sale("45000"))
        assert decision.quantity == Decimal(quantity)
        assert decision.reason is (Reason.OK if decision.approved else Reason.BELOW_MINIMUM)


@given(
    side=st.sampled_from(Side),
    ticks=st.integers(-400_000, 400_000),
    room=st.decimals(150, 200_000, places=2),
)
def test_no_limit_order_can_fill_for_more_than_the_largest_order(side: Side, ticks: int, room: Decimal) -> None:
    made = rich(max_order_notional=room)
    held = made.symbols[PERP]
    limit_price = held.bid + ticks * held.instrument.tick_size
    stop, target = limit_price - side.sign * 600, limit_price + side.sign * 2_000
    order = a_sale(str(limit_price), stop_price=stop, target_price=target)
    decision = decide(made, msgspec.structs.replace(order, side=side))
    if not decision.approved:
        return
    # A purchase fills at its limit or below, a sale at its limit or, while that is below the bid, at the bid.
    dearest = limit_price if side is Side.BUY else max(limit_price, held.bid)
    assert decision.notional == decision.quantity * dearest <= room
    assert held.instrument.refusal(decision.quantity, limit_price, held.bid) is None


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
