from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from support.market.tape import FOREVER, MS, PERP, SPOT, T0, TOP, Tape, decide, holding, play, scavenger
from titan.domain.enums import Action, OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import MarketEvent
from titan.domain.orders import Fill, Order
from titan.domain.time import NS_PER_DAY
from titan.strategies.base import IntentDraft, Permission
from titan.strategies.scavenger.strategy import BREAKOUT_SETUP, TIME_EXIT_SETUP, Scavenger


def a_range() -> Tape:
    return Tape().range(0, 10)


def confirmed(side: Side = Side.BUY) -> Tape:
    return a_range().breakout(10_300, side)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_breakout_that_spot_confirms_becomes_one_intent(side: Side) -> None:
    strategy = scavenger()
    (draft,) = play(strategy, confirmed(side).events)
    assert (draft.symbol, draft.side, draft.action) == (PERP, side, Action.OPEN)
    assert (draft.setup, draft.order_type, draft.time_in_force) == (
        BREAKOUT_SETUP,
        OrderType.MARKET,
        TimeInForce.IOC,
    )
    assert draft.setup_score > 0.8
    # Reference is what a taker pays: the ask for a buy, the bid for a sell.
    assert draft.reference_price == (Decimal("60015.0") if side is Side.BUY else Decimal("59984.9"))
    stop, target = (
        (Decimal("59654.9"), Decimal("60555.2")) if side is Side.BUY else (Decimal("60344.9"), Decimal("59445.0"))
    )
    assert (draft.stop_price, draft.target_price) == (stop, target)
    assert draft.volatility > 0
    assert draft.timeframe_ns == 30_000 * MS
    assert T0 + 10_300 * MS < draft.event_time_ns < T0 + 10_900 * MS
    assert draft.evidence["spot_imbalance_after"] == "1.000"
    assert strategy.counters["trip", side.name.lower()] == 1


def early_wick() -> Tape:
    tape = a_range().trade(9_900, SPOT, 60_035, Side.BUY, "1").quote(10_299, 60_014.9, 60_015.0)
    tape.trade(10_300, PERP, TOP + 5).trade(10_350, SPOT, 60_035, Side.BUY, "1").trade(10_400, PERP, TOP - 10)
    for step in range(9, 20):
        tape.trade(10_000 + step * 50, SPOT, 60_035, Side.BUY, "1")
    return tape


def from_outside() -> Tape:
    # The range's own bars are old news: price starts beyond the top, comes back to touch it, and leaves again.
    tape = Tape().range(0, 9)
    for at_ms in range(9_000, 9_900, 100):
        tape.trade(at_ms, SPOT, 60_035, Side.BUY, "1")
    return tape


def no_spot() -> Tape:
    return a_range().quote(10_299, 60_014.9, 60_015.0).trade(10_300, PERP, TOP + 5).silence(10_400, 13_500)


def wide_spread() -> Tape:
    tape = a_range().trade(10_000, SPOT, 60_035, Side.BUY, "1").quote(10_299, 60_000, 60_030)
    tape.trade(10_300, PERP, TOP + 5)
    for step in range(1, 60):
        tape.trade(10_300 + step * 50, SPOT, 60_035, Side.BUY, "1")
    return tape


def overrun() -> Tape:
    return a_range().quote(10_299, 60_014.9, 60_015.0).trade(10_300, PERP, TOP + 5).quote(14_000, 60_014.9, 60_015.0)


def touch_only() -> Tape:
    return a_range().trade(10_300, PERP, TOP).silence(10_400, 13_500)


@pytest.mark.parametrize(
    ("description", "tape", "abort"),
    [
        ("back inside the level", early_wick, "wick_reversion"),
        ("spot does not trade", no_spot, "few_spot_takers"),
        (
            "spot sells into it",
            lambda: a_range().breakout(10_300, Side.BUY, Side.SELL).silence(10_900, 13_500),
            "spot_disagrees",
        ),
        ("the perpetual's spread is 5 bps", wide_spread, "spread_too_wide"),
        ("nothing of the market when the window ends", overrun, "window_overrun"),
        ("the level is touched, not exceeded", touch_only, None),
        ("no crossing at all", a_range, None),
        ("nothing but a rising spot", from_outside, None),
    ],
)
def test_what_is_not_confirmed_becomes_none(description: str, tape: Callable[[], Tape], abort: str | None) -> None:
    strategy = scavenger()
    assert play(strategy, tape().events) == [], description
    aborts = {reason: count for (what, reason), count in strategy.counters.items() if what == "abort"}
    assert aborts == ({abort: 1} if abort else {})


def test_price_that_comes_from_outside_trips_nothing() -> None:
    """The bars' top is 60,010, but the live price was never seen inside it: coming down to it is no breakout."""
    strategy = scavenger()
    events = a_range().events
    play(strategy, [event for event in events if event.symbol == PERP and event.market_time_ns < T0 + 9_000 * MS])
    tape = Tape().trade(9_050, PERP, TOP + 30)
    play(strategy, tape.events)
    trips = sum(count for (what, _), count in strategy.counters.items() if what == "trip")
    assert trips == 1  # the crossing itself; from now on price is outside
    later = Tape().trade(10_200, PERP, TOP + 20).trade(10_300, PERP, TOP).trade(10_400, PERP, TOP + 20)
    play(strategy, later.events)
    assert sum(count for (what, _), count in strategy.counters.items() if what == "trip") == trips


def test_one_crossing_trips_once_however_many_trades_follow() -> None:
    strategy = scavenger()
    tape = a_range()
    for step in range(20):
        tape.trade(10_300 + step, PERP, TOP + 5 + step)
    play(strategy, tape.events)
    assert strategy.counters["trip", "buy"] == 1


@pytest.mark.parametrize(
    ("description", "permission"),
    [
        ("posture", Permission(0, True, "posture HALTED")),
        ("the budget has expired", Permission(T0 + 10_000 * MS, True, "budget has expired")),
    ],
)
def test_nothing_opens_without_permission(description: str, permission: Permission) -> None:
    strategy = scavenger()
    strategy.permit(permission)
    assert play(strategy, confirmed().events) == [], description
    assert strategy.counters["abort", "not_permitted"] == 1
    assert strategy.status()["last_trap"]["message"] == permission.reason  # type: ignore[index]


def test_permission_that_ends_between_trip_and_confirmation_forbids() -> None:
    strategy = scavenger()
    strategy.permit(Permission(T0 + 10_400 * MS, True, "budget has expired"))
    assert play(strategy, confirmed().events) == []
    assert strategy.counters["abort", "not_permitted"] == 1


def again(at_s: int, side: Side = Side.BUY) -> list[MarketEvent]:
    """A whole new range and breakout, from its second on."""
    tape = Tape().range(at_s, at_s + 10).breakout((at_s + 10) * 1_000 + 300, side)
    return tape.events


def test_cooldown_holds_per_direction() -> None:
    strategy = scavenger(cooldown_ms=60_000)
    (first,) = play(strategy, confirmed().events)
    decide(strategy, first, approved=False)
    assert play(strategy, again(11)) == []
    assert strategy.counters["abort", "cooldown"] == 1
    (other,) = play(strategy, again(22, Side.SELL))
    assert other.side is Side.SELL
    decide(strategy, other, approved=False)
    (late,) = play(strategy, again(71))
    assert late.side is Side.BUY


def test_a_refused_entry_leaves_the_way_free_and_an_approved_one_does_not() -> None:
    for approved, count, abort in ((False, 1, 0), (True, 0, 1)):
        strategy = scavenger(cooldown_ms=0)
        (first,) = play(strategy, confirmed().events)
        decide(strategy, first, approved)
        assert len(play(strategy, again(11))) == count
        assert strategy.counters["abort", "entry_in_flight"] == abort


def an_order(state: OrderState, filled: str = "0") -> Order:
    return Order(
        client_order_id="t1",
        intent_id="intent",
        phase_id="scavenger",
        order_role=OrderRole.ENTRY,
        attempt=1,
        symbol=PERP,
        side=Side.BUY,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity=Decimal("0.01"),
        reduce_only=False,
        policy_hash="",
        term=1,
        created_ns=T0,
        updated_ns=T0,
        state=state,
        filled_quantity=Decimal(filled),
    )


@pytest.mark.parametrize(
    ("state", "filled", "free"),
    [
        (OrderState.ACKED, "0", False),
        (OrderState.UNKNOWN, "0", False),
        (OrderState.REJECTED, "0", True),
        (OrderState.EXPIRED, "0", True),
        (OrderState.LOST, "0", True),
        (OrderState.CANCELED, "0.004", False),
        (OrderState.FILLED, "0.01", False),
    ],
)
def test_an_entry_is_over_when_its_order_ended_without_a_fill(state: OrderState, filled: str, free: bool) -> None:
    strategy = scavenger(cooldown_ms=0)
    (first,) = play(strategy, confirmed().events)
    decide(strategy, first, approved=True)
    strategy.on_order(an_order(state, filled))
    assert len(play(strategy, again(11))) == (1 if free else 0)


def test_an_entry_without_news_is_forgotten_after_its_grace() -> None:
    strategy = scavenger(cooldown_ms=0, ttl_ms=2_000, entry_grace_ms=3_000)
    (first,) = play(strategy, confirmed().events)
    decide(strategy, first, approved=True)
    assert len(play(strategy, again(11))) == 1


def test_one_position_at_a_time() -> None:
    strategy = scavenger(cooldown_ms=0)
    strategy.on_positions(holding("0.01", 9_000))
    assert play(strategy, confirmed().events) == []
    assert strategy.counters["abort", "position_open"] == 1


@pytest.mark.parametrize(("quantity", "side"), [("0.007", Side.SELL), ("-0.007", Side.BUY)])
def test_what_is_held_is_closed_when_its_time_is_over(quantity: str, side: Side) -> None:
    strategy = scavenger(hold_ms=20_000)
    strategy.on_positions(holding(quantity, 1_000))
    assert strategy.on_time(T0 + 20_999 * MS) == ()
    (draft,) = strategy.on_time(T0 + 21_000 * MS)
    assert (draft.setup, draft.action, draft.side, draft.quantity) == (
        TIME_EXIT_SETUP,
        Action.CLOSE,
        side,
        Decimal("0.007"),
    )
    # No quote was seen since the start: the entry price stands in.
    assert draft.reference_price == Decimal("60015")
    assert draft.stop_price == draft.target_price == 0


def test_an_exit_is_tried_again_until_the_position_is_gone() -> None:
    strategy = scavenger(hold_ms=20_000, exit_retry_ms=2_000)
    strategy.on_positions(holding("0.007", 0))
    assert len(strategy.on_time(T0 + 20_000 * MS)) == 1
    assert strategy.on_time(T0 + 21_999 * MS) == ()
    strategy.on_positions(holding("0.003", 0))  # partly closed: the rest goes with the next attempt
    (second,) = strategy.on_time(T0 + 22_000 * MS)
    assert second.quantity == Decimal("0.003")
    strategy.on_positions([])
    assert strategy.on_time(T0 + 30_000 * MS) == ()


def test_flatten_leaves_closing_to_execution_and_halted_does_not() -> None:
    for closing, count in ((True, 1), (False, 0)):
        strategy = scavenger(hold_ms=20_000)
        strategy.on_positions(holding("0.007", 0))
        strategy.permit(Permission(0, closing, "posture"))
        assert len(strategy.on_time(T0 + 25_000 * MS)) == count


def a_fill(intent_id: str, at_ns: int, order_role: OrderRole = OrderRole.ENTRY) -> Fill:
    return Fill(
        trade_id=f"{intent_id}-{at_ns}",
        client_order_id="t1",
        intent_id=intent_id,
        phase_id="scavenger",
        order_role=order_role,
        symbol=PERP,
        side=Side.BUY,
        quantity=Decimal("0.005"),
        price=Decimal("60015"),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        maker=False,
        event_time_ns=at_ns,
        policy_hash="",
    )


def test_the_day_s_ceiling_counts_trades_not_fills_and_falls_at_midnight() -> None:
    strategy = scavenger(max_trades_per_day=2, cooldown_ms=0)
    strategy.on_fill(a_fill("one", T0))
    strategy.on_fill(a_fill("one", T0 + 1))
    strategy.on_fill(a_fill("one", T0 + 2, OrderRole.EXIT))
    assert len(play(strategy, confirmed().events)) == 1
    strategy.on_fill(a_fill("two", T0 + 3))
    strategy.on_order(an_order(OrderState.REJECTED))
    assert play(strategy, again(11)) == []
    assert strategy.counters["abort", "trades_spent"] == 1
    day_s = NS_PER_DAY // 1_000_000_000
    assert len(play(strategy, again(day_s))) == 1


def test_the_day_s_count_outlives_the_process() -> None:
    strategy = scavenger(max_trades_per_day=1)
    strategy.on_fill(a_fill("one", T0))
    heir = scavenger(max_trades_per_day=1)
    heir.load_state(strategy.dump_state())
    assert play(heir, confirmed().events) == []
    assert heir.counters["abort", "trades_spent"] == 1


def test_limit_orders_go_through_the_touch() -> None:
    (draft,) = play(scavenger(order_type="limit", limit_markup_bps=2.0), confirmed().events)
    assert (draft.order_type, draft.limit_price) == (OrderType.LIMIT, Decimal("60027.1"))


def test_equal_tapes_give_equal_drafts() -> None:
    def run() -> list[IntentDraft]:
        return play(scavenger(), [*confirmed().events, *again(11, Side.SELL)])

    first = run()
    assert first
    assert first == run()


def test_a_symbol_that_the_market_does_not_list_is_named() -> None:
    with pytest.raises(ValueError, match="symbol BTC/USDT is not listed by the market; it lists BTC/USDT:USDT"):
        Scavenger(scavenger().parameters).on_instruments([PAPER_INSTRUMENTS[PERP]])


def test_status_shows_levels_trap_and_position() -> None:
    strategy = scavenger()
    play(strategy, confirmed().events)
    strategy.on_positions(holding("0.007", 10_500))
    status = strategy.status()
    assert status["parameters"] == "demo"
    assert {level["side"]: level["price"] for level in status["levels"]} == {"BUY": TOP, "SELL": 59_990.0}  # type: ignore[attr-defined]
    assert status["last_trap"]["outcome"] == "confirmed"  # type: ignore[index]
    assert status["position"]["closes_at_ns"] == T0 + 40_500 * MS  # type: ignore[index]
    assert scavenger(hold_ms=31_000).status()["parameters"] == "own"


def test_it_starts_without_any_permission() -> None:
    strategy = Scavenger(scavenger().parameters)
    strategy.on_instruments(list(PAPER_INSTRUMENTS.values()))
    assert play(strategy, confirmed().events) == []
    strategy.permit(FOREVER)
    assert len(play(strategy, again(11))) == 1
