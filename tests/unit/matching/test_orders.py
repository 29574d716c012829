"""Orders in the market: one story a test, followed by the updates."""

from __future__ import annotations

import pytest

from support.venues.matching import PERP, SPOT, Bench, D, orders_of, send, trades_of
from titan.domain.reasons import Reason
from titan.domain.venue import VenueOrder, VenueOrderState, VenueTrade


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.book("60000x1 59999x2 59990x5", "60001x1 60002x2 60010x5")
    return bench


def test_a_market_order_walks_the_levels_and_pays_the_taker_fee(bench: Bench) -> None:
    updates = bench.send("a", "buy", "2")
    assert trades_of(updates) == [("a", "1", "60001", False), ("a", "1", "60002", False)]
    assert orders_of(updates) == [("a", "FILLED")]
    assert isinstance(updates[-1], VenueOrder), "the order is told after its trades"
    assert updates[-1].average_price == D("60001.5")
    fee = D("120003") * D("0.0005")
    assert sum(each.fee for each in updates if isinstance(each, VenueTrade)) == fee
    assert bench.cash == 10000 - fee
    assert bench.position() == 2


def test_nothing_happens_before_the_latency_is_over(bench: Bench) -> None:
    bench.post(send("a", "buy", "1"))
    assert bench.wait(49) == []
    assert bench.order("a").state is VenueOrderState.PENDING
    assert [order.client_order_id for order in bench.engine.open_orders()] == ["a"]
    assert orders_of(bench.wait(1)) == [("a", "FILLED")]


def test_a_request_meets_the_book_of_its_arrival_not_a_later_one() -> None:
    bench = Bench()
    bench.book("60000x1", "60001x1")
    bench.post(send("a", "buy", "1"))
    bench.now_ms = 50
    assert trades_of(bench.book("60100x1", "60101x1")) == [("a", "1", "60001", False)]


def test_requests_before_the_first_event_wait_and_then_meet_what_there_is() -> None:
    bench = Bench()
    bench.post(send("a", "buy", "1"))
    bench.post(send("b", "buy", "1", limit="60000"))
    bench.now_ms = 60_000
    updates = bench.book("60000x1", "60001x1")
    assert orders_of(updates) == [("a", "REJECTED"), ("b", "OPEN")]
    assert bench.order("a").reason is Reason.NO_LIQUIDITY


def test_a_taken_quantity_is_not_available_twice(bench: Bench) -> None:
    bench.send("a", "buy", "1")
    assert trades_of(bench.send("b", "buy", "1")) == [("b", "1", "60002", False)]


def test_an_ioc_order_takes_up_to_its_price_and_the_rest_is_cancelled(bench: Bench) -> None:
    updates = bench.send("a", "buy", "3.2", limit="60002", tif="IOC")
    assert trades_of(updates) == [("a", "1", "60001", False), ("a", "2", "60002", False)]
    order = bench.order("a")
    assert (order.state, order.reason) == (VenueOrderState.CANCELED, Reason.NO_LIQUIDITY)
    assert order.message == "NO_LIQUIDITY: quantity=3.2, filled=3"


def test_a_limit_order_takes_what_crosses_and_rests_with_the_remainder(bench: Bench) -> None:
    updates = bench.send("a", "buy", "1.5", limit="60001")
    assert trades_of(updates) == [("a", "1", "60001", False)]
    assert orders_of(updates) == [("a", "OPEN")]
    # The same level on display again is not there again.
    assert bench.diff(asks="60002x3") == []


def test_a_maker_waits_in_the_queue_and_pays_the_maker_fee(bench: Bench) -> None:
    bench.send("a", "buy", "0.5", limit="60000")
    assert bench.trade("sell", "0.6", "60000") == []
    updates = bench.trade("sell", "0.6", "60000")
    assert trades_of(updates) == [("a", "0.2", "60000", True)]
    assert orders_of(updates) == [("a", "OPEN")]
    updates = bench.trade("sell", "9", "60000")
    assert trades_of(updates) == [("a", "0.3", "60000", True)]
    assert orders_of(updates) == [("a", "FILLED")]
    fees = [each.fee for each in bench.updates if isinstance(each, VenueTrade)]
    assert sum(fees) == D("0.5") * 60000 * D("0.0002")


@pytest.mark.parametrize(
    ("why", "moves", "trade", "filled"),
    [
        ("a smaller level is what is ahead at most", ["60000x0.3"], ("sell", "0.5", "60000"), "0.2"),
        ("what joins after us is behind", ["60000x5"], ("sell", "1.2", "60000"), "0.2"),
        ("shrinks behind us first", ["60000x5", "60000x2"], ("sell", "1.2", "60000"), "0.2"),
        ("the level goes: nobody is ahead", ["60000x0"], ("sell", "0.2", "60000"), "0.2"),
        ("a trade beyond our price has emptied the queue", [], ("sell", "0.2", "59999"), "0.2"),
        ("a trade at a better price does not reach us", [], ("sell", "9", "60000.5"), "0"),
        ("a trade of our own side does not fill us", [], ("buy", "9", "60000"), "0"),
    ],
)
def test_the_queue(bench: Bench, why: str, moves: list[str], trade: tuple[str, str, str], filled: str) -> None:
    bench.send("a", "buy", "1", limit="60000")
    for move in moves:
        bench.diff(bids=move)
    bench.trade(*trade)
    assert bench.order("a").filled_quantity == D(filled), why


def test_one_public_trade_fills_at_most_its_own_quantity_best_price_then_first_come(bench: Bench) -> None:
    bench.send("late", "buy", "1", limit="60000")
    bench.send("better", "buy", "1", limit="60000.5")
    bench.send("last", "buy", "1", limit="60000")
    updates = bench.trade("sell", "2.5", "59999.5")
    assert trades_of(updates) == [
        ("better", "1", "60000.5", True),
        ("late", "1", "60000", True),
        ("last", "0.5", "60000", True),
    ]


def test_the_other_side_that_comes_to_our_price_fills_us_at_our_price(bench: Bench) -> None:
    bench.send("a", "buy", "3", limit="60000")
    updates = bench.diff(bids="60000x0", asks="59999.5x1 59999.8x0.5")
    assert trades_of(updates) == [("a", "1.5", "60000", True)]
    assert bench.diff(asks="60010x6") == [], "the same asks do not fill us again"


@pytest.mark.parametrize(
    ("why", "side", "fields", "move", "fires"),
    [
        ("a stop below, touched by the mid", "sell", {"stop": "59900"}, ("book", "59899x5", "59901x5"), True),
        ("not touched", "sell", {"stop": "59900"}, ("book", "59900x5", "59902x5"), False),
        ("touched by a public trade alone", "sell", {"stop": "59900"}, ("trade", "sell", "0.1", "59900"), True),
        ("a target above, touched", "sell", {"target": "60100"}, ("trade", "buy", "0.1", "60100"), True),
        ("a target above, not touched", "sell", {"target": "60100"}, ("trade", "buy", "0.1", "60099.9"), False),
        ("a stop above", "buy", {"stop": "60100"}, ("trade", "buy", "0.1", "60100"), True),
        ("a target below", "buy", {"target": "59900"}, ("trade", "buy", "0.1", "59900"), True),
    ],
)
def test_triggers(
    bench: Bench, why: str, side: str, fields: dict[str, str], move: tuple[str, ...], fires: bool
) -> None:
    bench.send("entry", {"buy": "sell", "sell": "buy"}[side], "1")
    updates = bench.send("t", side, "1", reduce_only=True, **fields)
    assert orders_of(updates) == [("t", "UNTRIGGERED")]
    getattr(bench, move[0])(*move[1:])
    assert bench.order("t").state is (VenueOrderState.FILLED if fires else VenueOrderState.UNTRIGGERED), why
    assert bench.position() == (0 if fires else {"buy": -1, "sell": 1}[side])


def test_stop_and_target_of_one_position_the_first_to_fire_cancels_the_other(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("stop", "sell", "1", stop="59900", reduce_only=True)
    bench.send("target", "sell", "1", target="60100", reduce_only=True)
    updates = bench.book("60150x5", "60151x5")
    assert trades_of(updates) == [("target", "1", "60150", False)]
    assert orders_of(updates) == [("target", "FILLED"), ("stop", "CANCELED")]
    assert bench.order("stop").reason is Reason.POSITION_CLOSED


def test_a_stop_larger_than_the_position_shrinks_when_it_triggers(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("stop", "sell", "3", stop="59900", reduce_only=True)
    bench.trade("sell", "1", "59900")
    order = bench.order("stop")
    assert (order.state, order.quantity, bench.position()) == (VenueOrderState.FILLED, 1, 0)


def test_a_reduce_only_order_shrinks_to_the_position(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("exit", "sell", "3", reduce_only=True)
    order = bench.order("exit")
    assert (order.state, order.quantity, bench.position()) == (VenueOrderState.FILLED, 1, 0)
    assert "shrunk" in order.message


def test_a_resting_reduce_only_order_never_flips_the_position(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("rest", "sell", "1", limit="60020", reduce_only=True)
    bench.send("exit", "sell", "0.6")
    updates = bench.trade("buy", "9", "60021")
    assert trades_of(updates) == [("rest", "0.4", "60020", True)]
    order = bench.order("rest")
    assert (order.state, order.reason) == (VenueOrderState.CANCELED, Reason.POSITION_CLOSED)
    assert bench.position() == 0


def test_a_reversal_also_cancels_what_protected_the_old_position(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("stop", "sell", "1", stop="59900", reduce_only=True)
    updates = bench.send("turn", "sell", "2")
    assert orders_of(updates) == [("turn", "FILLED"), ("stop", "CANCELED")]
    assert bench.position() == -1


def test_cancel(bench: Bench) -> None:
    bench.send("a", "buy", "1", limit="59000")
    assert orders_of(bench.cancel("a")) == [("a", "CANCELED")]
    assert bench.order("a").reason is Reason.OK
    assert bench.engine.open_orders() == []
    assert bench.trade("sell", "9", "58000") == []


@pytest.mark.parametrize(
    ("why", "changes", "ahead_gone"),
    [
        ("less at the same price keeps the place", {"quantity": "0.5"}, True),
        ("more at the same price goes to the end", {"quantity": "1.5"}, False),
        ("another price goes to the end of that level", {"limit_price": "59999"}, False),
    ],
)
def test_an_amend_keeps_the_place_in_the_queue_only_when_it_shrinks(
    bench: Bench, why: str, changes: dict[str, str], ahead_gone: bool
) -> None:
    bench.send("a", "buy", "1", limit="60000")
    bench.trade("sell", "1", "60000")  # the queue ahead is empty now
    updates = bench.amend("a", **changes)
    assert orders_of(updates) == [("a", "OPEN")]
    order = bench.order("a")
    updates = bench.trade("sell", "0.1", str(order.limit_price))
    assert bool(trades_of(updates)) is ahead_gone, why


def test_an_amend_to_a_crossing_price_takes(bench: Bench) -> None:
    bench.send("a", "buy", "1", limit="60000")
    assert trades_of(bench.amend("a", limit_price="60001")) == [("a", "1", "60001", False)]


def test_an_amend_moves_a_trigger(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("stop", "sell", "1", stop="59900", reduce_only=True)
    assert orders_of(bench.amend("stop", trigger_price="59950", quantity="0.5")) == [("stop", "UNTRIGGERED")]
    bench.trade("sell", "1", "59950")
    assert bench.position() == D("0.5")


def test_spot_moves_both_balances_and_the_fee_is_in_quote(bench: Bench) -> None:
    bench.book("60000x1", "60001x1", SPOT)
    bench.send("a", "buy", "0.1", SPOT)
    assert bench.state.balances["BTC"] == D("0.1")
    assert bench.cash == 10000 - D("6000.1") - D("6.0001")
    bench.send("stop", "sell", "0.1", SPOT, stop="59000", reduce_only=True)
    bench.send("b", "sell", "0.1", SPOT)
    assert bench.state.balances["BTC"] == 0
    assert bench.order("stop").reason is Reason.POSITION_CLOSED
    assert bench.engine.positions() == []


def test_two_spot_sales_never_sell_more_than_there_is(bench: Bench) -> None:
    bench.book("60000x1", "60001x1", SPOT)
    bench.send("a", "buy", "0.1", SPOT)
    bench.send("reduce", "sell", "0.1", SPOT, limit="60100", reduce_only=True)
    bench.send("plain", "sell", "0.1", SPOT, limit="60200")
    bench.trade("buy", "5", "60300", SPOT)
    assert bench.state.balances["BTC"] == 0
    assert bench.order("plain").reason is Reason.POSITION_CLOSED


def test_average_price_and_profit_of_a_partial_close(bench: Bench) -> None:
    bench.send("a", "buy", "2")  # 60001 and 60002
    bench.book("60101x5", "60102x5")
    bench.send("b", "sell", "0.5")
    position = bench.engine.positions()[0]
    assert (position.quantity, position.average_entry_price) == (D("1.5"), D("60001.5"))
    fees = sum(each.fee for each in bench.updates if isinstance(each, VenueTrade))
    assert bench.cash == 10000 + D("0.5") * (D("60101") - D("60001.5")) - fees


def test_quotes_alone_are_a_market_too() -> None:
    bench = Bench()
    bench.quote("60000x1", "60001x1")
    assert trades_of(bench.send("a", "buy", "2")) == [("a", "1", "60001", False)]
    assert bench.order("a").state is VenueOrderState.CANCELED


def test_orders_and_trades_can_be_queried(bench: Bench) -> None:
    bench.send("a", "buy", "2")
    bench.send("b", "buy", "1", limit="59000")
    assert [order.client_order_id for order in bench.engine.open_orders()] == ["b"]
    assert [trade.sequence for trade in bench.engine.trades_after(0, 10)] == [1, 2]
    assert [trade.sequence for trade in bench.engine.trades_after(1, 10)] == [2]
    assert [trade.sequence for trade in bench.engine.trades_after(0, 1)] == [1]
    assert bench.engine.trades_after(2, 10) == []
    assert bench.engine.order("nobody") is None
    assert PERP in {position.symbol for position in bench.engine.positions()}


def test_it_is_quiet_without_an_order_that_works_or_is_on_its_way(bench: Bench) -> None:
    assert bench.engine.quiet
    bench.post(send("a", "buy", "1", limit="60000"))
    assert not bench.engine.quiet, "on its way"
    bench.wait(50)
    assert not bench.engine.quiet, "working"
    bench.send("b", "sell", "1", limit="60000")
    assert not bench.engine.quiet
    bench.cancel("a")
    assert bench.engine.quiet, "a position alone changes by nothing"
