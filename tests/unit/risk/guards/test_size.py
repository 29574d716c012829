"""The size that the guards leave: shrunk to every limit, and never above one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.changes import Change, explored, granted, phase, setting, unchanged
from support.risk.scene import ETH, NOW, PERP, budget, decide, equity, hold, intent, reserved, risk_state, rules
from titan.domain.decisions import Decision
from titan.domain.enums import Action, OrderType, RiskLevel, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.domain.trip_results import SetupRecord
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine, reserve
from titan.risk.evaluation import Evaluation
from titan.risk.frequency import FrequencyState
from titan.risk.guards.sizing import probability
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.state import RiskState

D = Decimal

SHRINKS: list[tuple[str, Change, dict[str, Any], int, str]] = [
    ("the requested notional", unchanged, {"max_notional": Decimal(130)}, 3, "0.002"),
    ("the budget", granted(max_notional=Decimal(400)), {}, 17, "0.006"),
    ("the margin", phase(margin_used=Decimal(85)), {}, 16, "0.004"),
    ("the day", setting(equity=equity("181.0")), {}, 17, "0.005"),
    ("a modifier halves", granted(modifier=D("0.5"), modifier_reason="psr=0.04"), {}, 3, "0.005"),
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
    made.phases["scavenger"].budget = budget(max_notional=Decimal(10**6), max_drawdown=Decimal(10**6))
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


def test_the_mean_r_multiple_moves_the_probability() -> None:
    made = risk_state()
    record = SetupRecord()
    for _ in range(40):
        record = record.after(-1.0)
    made.phases["scavenger"].history.by_setup["breakout"] = record
    explored(made)
    losing = decide(made)
    assert losing.reason is Reason.EDGE_TOO_SMALL
    assert "mean_r=-1 of 40" in losing.message
    # Another setup's record is not this one's.
    assert decide(made, intent(setup="other")).approved


@pytest.mark.parametrize(
    ("description", "multiples", "expected"),
    [
        ("no trade: the prior", [], 0.2857142857 + 0.18),
        ("time exits at nothing are no losses", [0.0] * 50, 0.2857142857 + 0.09),
        ("driftless trades take back the lift of the score", [0.0] * 5_000, 0.2857142857 + 0.18 * 50 / (50 + 144.77)),
        ("stops only", [-1.0] * 5_000, (0.2857142857 + 0.18) * 50 / (50 + 144.77)),
    ],
)
def test_the_probability_follows_the_mean_r_multiple(description: str, multiples: list[float], expected: float) -> None:
    """Stop 20 and target 50 bps under demo: the prior of score .8 is 2/7 + .3 * .6."""
    record = SetupRecord()
    for multiple in multiples:
        record = record.after(multiple)
    made = risk_state()
    e = Evaluation(intent(), made, made.phases["scavenger"], made.symbols[PERP], NOW, seen=False)
    assert probability(0.8, 0.002, 0.005, record, e) == pytest.approx(expected, abs=0.01), description


def test_in_live_a_score_lifts_nothing_and_nothing_is_explored() -> None:
    limits = Limits(rules(), "sha256:", RiskParameters(), "live")
    assert (limits.score_lift, limits.explorations_per_day) == (0.0, 0)


def test_a_refused_setup_is_explored_with_one_lot_three_times_a_day() -> None:
    made = risk_state()
    decisions = IntentDecisions(RiskEngine(made.limits, 1), made, lambda _state: None)
    outcomes = []
    for number in range(4):
        small = intent(intent_id=f"018f{number}", target_price=Decimal(61_300), event_time_ns=NOW + number)
        outcomes.append(decisions.decide(small, "scavenger", NOW + number))
    assert [(one.approved, one.explores, one.quantity) for one in outcomes] == [
        *[(True, True, Decimal("0.002"))] * 3,
        (False, False, Decimal(0)),
    ]
    assert "EXPLORE 3 of 3 lots today" in next(guard.limit for guard in outcomes[2].guards if guard.number == 8)
    tomorrow = NOW + 86_400_000_000_000
    made.symbols[PERP].quote(Decimal("61234.5"), Decimal("61234.6"), tomorrow)
    made.phases["scavenger"].budget = budget(expires_at_ns=tomorrow + 1)
    small = intent(intent_id="018f9", target_price=Decimal(61_300), event_time_ns=tomorrow)
    assert decisions.decide(small, "scavenger", tomorrow).explores


def test_a_factor_below_a_lot_takes_every_second_setup() -> None:
    made = risk_state()
    setting(risk_level=RiskLevel.CAUTIOUS)(made)
    stored: list[FrequencyState] = []
    decisions = IntentDecisions(RiskEngine(made.limits, 1), made, stored.append)
    outcomes = []
    for number in range(4):
        one_lot = intent(intent_id=f"018f{number}", max_notional=Decimal(130), event_time_ns=NOW + number)
        outcomes.append(decisions.decide(one_lot, "scavenger", NOW + number))
    assert [one.reason for one in outcomes] == [Reason.THINNED, Reason.OK] * 2
    assert outcomes[1].quantity == Decimal("0.002")
    assert outcomes[2].message.startswith("THINNED: size x 0.5 is below one lot: 0.5 of 1 setups counted")
    # A restart keeps the accumulator, and a setup that is refused for another reason leaves it.
    again = risk_state()
    again.frequency.restore(msgspec.json.decode(msgspec.json.encode(stored[2]), type=FrequencyState))
    setting(risk_level=RiskLevel.CAUTIOUS)(again)
    assert decide(again, intent(max_notional=Decimal(130), setup_score=0.1)).thinned is None
    assert decide(again, intent(max_notional=Decimal(130))).approved


FACTORS: list[tuple[str, dict[str, Any], Change, int, str]] = [
    ("CAUTIOUS", {}, setting(risk_level=RiskLevel.CAUTIOUS), 2, "0.005"),
    (
        "a pipeline of 201 ms",
        {},
        lambda made: [made.latency.add(NOW - number, 201_000_000) for number in range(3)],
        10,
        "0.007",
    ),
    (
        "tail limits without an estimate",
        {"tail_mode": "ENFORCEMENT"},
        lambda made: (setting(equity=equity("2000"))(made), granted(max_drawdown=Decimal(40))(made)),
        13,
        "0.003",
    ),
    ("BTC is held already", {}, lambda made: hold(made, "0.001"), 14, "0.005"),
    ("ETH is held, in the same direction", {}, lambda made: hold(made, "0.01", symbol=ETH, stop="2490"), 14, "0.005"),
]


@pytest.mark.parametrize(("description", "policy", "change", "number", "quantity"), FACTORS)
def test_factors_on_the_size(
    description: str, policy: dict[str, Any], change: Change, number: int, quantity: str
) -> None:
    decision = decide(risk_state(rules(**policy)), change=change)
    assert decision.approved, (description, decision.message)
    shrinking = [guard.number for guard in decision.guards if guard.limit.startswith("size x")]
    assert shrinking == [number], description
    assert decision.quantity == Decimal(quantity), description


def test_a_position_in_the_other_direction_is_not_alike() -> None:
    decision = decide(hold(risk_state(), "-0.01", symbol=ETH, stop="2510"))
    assert decision.quantity == Decimal("0.010")


def test_kelly_is_net_of_costs() -> None:
    """At an edge of just its cost nothing may be staked: b = (target - cost) / (stop + cost)."""
    made = risk_state()
    explored(made)
    decision = decide(made, intent(target_price=Decimal(61_453)))
    eight = next(guard for guard in decision.guards if guard.number == 8)
    assert eight.reason in (Reason.KELLY, Reason.BELOW_MINIMUM), eight


def test_the_numbers_of_the_domain_s_example() -> None:
    """At 11 bps and score .8, stop + target of 183 bps is what passes under standard, 61 under demo."""
    for name, wanted_bps in (("standard", 183), ("demo", 61)):
        policy = rules(name)
        made = risk_state(policy)
        explored(made)
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
            verdicts.append(next(guard.reason for guard in one.guards if guard.number == 8))
        assert verdicts[0] is Reason.EDGE_TOO_SMALL, name
        assert verdicts[1] is Reason.OK, name


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
    most_at_risk = equity_now * Decimal("0.02")
    made.phases["scavenger"].budget = budget(max_notional=equity_now * 10, max_drawdown=most_at_risk)
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
    assert loss + made.phases["scavenger"].worst_case <= most_at_risk


def test_a_decision_can_be_made_twice_and_is_the_same() -> None:
    made = risk_state()
    assert msgspec.structs.asdict(decide(made)) == msgspec.structs.asdict(decide(made))


def test_a_modifier_above_one_raises_the_kelly_cap_alone() -> None:
    """Where Kelly binds, the size is 1.2 times as large; where another limit binds, it stays."""
    plenty = {name: D(10**6) for name in ("max_order_notional", "max_position_notional", "max_total_notional")}
    plain, raised = (rich_kelly(modifier, **plenty) for modifier in ("1", "1.2"))
    assert raised.guards[8].largest_notional == pytest.approx(
        plain.guards[8].largest_notional * D("1.2"), abs=D("1e-6")
    )
    assert raised.notional > plain.notional
    assert "modifier=1.2 (psr=0.97)" in raised.guards[3].limit
    for modifier in ("1", "1.2"):
        bound = rich_kelly(modifier, **{**plenty, "max_order_notional": D(1_000)})
        assert Decimal(800) < bound.notional <= 1_000


def rich_kelly(modifier: str, **changed: Any) -> Decision:
    made = risk_state(rules(max_loss_per_trade=D(1), max_daily_loss=D(10**6), max_daily_loss_fraction=D(1), **changed))
    made.equity = equity("20000", day_start_equity=D(20_000))
    made.phases["scavenger"].budget = budget(
        max_notional=D(10**6), max_drawdown=D(10**6), modifier=D(modifier), modifier_reason="psr=0.97"
    )
    return decide(made)


def test_a_modifier_below_one_thins_a_small_account() -> None:
    made = risk_state(rules(max_order_notional=D(130)))
    made.phases["scavenger"].budget = budget(modifier=D("0.5"), modifier_reason="psr=0.04")
    first = decide(made)
    assert first.reason is Reason.THINNED
    made.frequency.set_thinned("scavenger", PERP, D("0.5"))
    second = decide(made)
    assert second.approved
    assert second.quantity == D("0.002")


@pytest.mark.parametrize(("number", "change"), [(8, {}), (16, {"margin_used": D(85)}), (17, {})])
@pytest.mark.parametrize(("shown", "confirmed"), [("190", "200"), ("200", "190"), ("190", "190")])
def test_openings_are_sized_by_the_lower_equity(
    number: int, change: dict[str, Any], shown: str, confirmed: str
) -> None:
    """A print that nothing confirms can shrink what is opened, and never raise it."""

    def largest(reported: Equity) -> Decimal | None:
        made = risk_state()
        made.equity = reported
        made.refresh()
        for name, value in change.items():
            setattr(made.phases["scavenger"], name, value)
        return next(guard for guard in decide(made).guards if guard.number == number).largest_notional

    assert largest(equity(shown, confirmed_equity=D(confirmed))) == largest(equity("190"))
    assert largest(equity("190")) != largest(equity("200"))
