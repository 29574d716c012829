"""Every refusal has a case: its reason, its numbers, and that it changed nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.venues.matching import SPOT, Bench, send
from titan.domain.enums import OrderType
from titan.domain.reasons import Reason
from titan.domain.venue import RequestKind, VenueOrderState, VenueReject


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.book("60000x1 59999x2", "60001x1 60002x2")
    bench.book("60000x1", "60001x1", SPOT)
    return bench


Case = tuple[str, tuple[str, ...], dict[str, Any], Reason, str]
SENDS: list[Case] = [
    (
        "no such symbol",
        ("buy", "1", "DOGE/USDT"),
        {},
        Reason.UNKNOWN_SYMBOL,
        "UNKNOWN_SYMBOL: 'DOGE/USDT', allowed: BTC/USDT:USDT",
    ),
    (
        "a market order has no limit price",
        ("buy", "1"),
        {"limit": "60000", "type": OrderType.MARKET},
        Reason.INVALID_INTENT,
        "limit_price 60000: a MARKET order has none",
    ),
    (
        "a limit order has no trigger",
        ("buy", "1"),
        {"stop": "60000", "type": OrderType.LIMIT},
        Reason.INVALID_INTENT,
        "trigger_price 60000: a LIMIT order has none",
    ),
    (
        "post-only is for limits",
        ("buy", "1"),
        {"tif": "POST_ONLY"},
        Reason.INVALID_INTENT,
        "time_in_force POST_ONLY: only for LIMIT, not for MARKET",
    ),
    (
        "no quantity",
        ("buy", "0"),
        {},
        Reason.QUANTITY_STEP,
        "QUANTITY_STEP: quantity 0 is no positive multiple of 0.001 BTC",
    ),
    (
        "off the step",
        ("buy", "0.0015"),
        {},
        Reason.QUANTITY_STEP,
        "QUANTITY_STEP: quantity 0.0015 is no positive multiple of 0.001 BTC",
    ),
    (
        "off the tick",
        ("buy", "1"),
        {"limit": "60000.05"},
        Reason.PRICE_TICK,
        "PRICE_TICK: price 60000.05 is no positive multiple of 0.1 USDT",
    ),
    (
        "a limit order without a price",
        ("buy", "1"),
        {"type": OrderType.LIMIT},
        Reason.PRICE_TICK,
        "PRICE_TICK: price 0 is no positive multiple of 0.1 USDT",
    ),
    (
        "a trigger off the tick",
        ("buy", "1"),
        {"stop": "60100.01"},
        Reason.PRICE_TICK,
        "PRICE_TICK: trigger price 60100.01 is no positive multiple of 0.1 USDT",
    ),
    (
        "a stop without a trigger",
        ("buy", "1"),
        {"type": OrderType.STOP_MARKET},
        Reason.PRICE_TICK,
        "PRICE_TICK: trigger price 0 is no positive multiple of 0.1 USDT",
    ),
    (
        "below the smallest notional",
        ("buy", "0.001"),
        {},
        Reason.BELOW_MINIMUM,
        "BELOW_MINIMUM: notional 60.001 < 100 USDT",
    ),
    (
        "reduces nothing",
        ("sell", "1"),
        {"reduce_only": True},
        Reason.NOT_REDUCING,
        "NOT_REDUCING: side=SELL, quantity=1, held=0",
    ),
    (
        "a spot buy reduces nothing",
        ("buy", "0.1", SPOT),
        {"reduce_only": True},
        Reason.NOT_REDUCING,
        "NOT_REDUCING: side=BUY, quantity=0.1, held=0",
    ),
    (
        "a stop that the price has passed",
        ("buy", "1"),
        {"stop": "59000"},
        Reason.WOULD_TRIGGER,
        "WOULD_TRIGGER: trigger_price=59000, price=60000.5",
    ),
    (
        "a target that the price has passed",
        ("sell", "1"),
        {"target": "59000"},
        Reason.WOULD_TRIGGER,
        "WOULD_TRIGGER: trigger_price=59000, price=60000.5",
    ),
    (
        "post-only meets the ask",
        ("buy", "1"),
        {"limit": "60001", "tif": "POST_ONLY"},
        Reason.WOULD_TAKE,
        "WOULD_TAKE: limit_price=60001, bid=60000, ask=60001",
    ),
    (
        "post-only meets the bid",
        ("sell", "1"),
        {"limit": "60000", "tif": "POST_ONLY"},
        Reason.WOULD_TAKE,
        "WOULD_TAKE: limit_price=60000, bid=60000, ask=60001",
    ),
    (
        "nobody on the other side",
        ("buy", "1", "ETH/USDT:USDT"),
        {},
        Reason.NO_LIQUIDITY,
        "NO_LIQUIDITY: quantity=1, bid=None, ask=None",
    ),
    (
        "too large for the account",
        ("buy", "3.4"),
        {"limit": "60000"},
        Reason.INSUFFICIENT_MARGIN,
        "INSUFFICIENT_MARGIN: required=10302, available=10000",
    ),
    (
        "a sale far below the bid is measured at the bid, where it would fill",
        ("sell", "3.4"),
        {"limit": "30000"},
        Reason.INSUFFICIENT_MARGIN,
        "INSUFFICIENT_MARGIN: required=10302, available=10000",
    ),
    (
        "spot costs all of it",
        ("buy", "0.2", SPOT),
        {},
        Reason.INSUFFICIENT_MARGIN,
        "INSUFFICIENT_MARGIN: required=12012.2002, available=10000",
    ),
    (
        "spot that we do not have",
        ("sell", "0.1", SPOT),
        {},
        Reason.INSUFFICIENT_MARGIN,
        "INSUFFICIENT_MARGIN: required=0.1, available=0",
    ),
]


@pytest.mark.parametrize(("why", "order", "fields", "reason", "message"), SENDS, ids=[case[0] for case in SENDS])
def test_sends(
    bench: Bench, why: str, order: tuple[str, ...], fields: dict[str, Any], reason: Reason, message: str
) -> None:
    before = msgspec.structs.replace(bench.state, balances=dict(bench.state.balances))
    bench.send("a", *order, **fields)
    found = bench.order("a")
    assert (found.state, found.reason) == (VenueOrderState.REJECTED, reason), found.message
    assert found.message.startswith(message)
    assert (bench.state.balances, bench.state.trades, bench.state.positions) == (before.balances, [], {})
    assert bench.engine.open_orders() == []


def test_too_small_for_the_lot(bench: Bench) -> None:
    bench.book("150x9", "151x9", "SOL/USDT:USDT")
    bench.send("a", "buy", "1", "SOL/USDT:USDT")
    assert bench.order("a").state is VenueOrderState.FILLED
    bench.send("b", "buy", "0.00001", SPOT)
    assert bench.order("b").message == "BELOW_MINIMUM: notional 0.60001 < 5 USDT"


def test_a_reduce_only_order_may_be_below_the_smallest_notional(bench: Bench) -> None:
    bench.send("a", "buy", "0.002")
    bench.send("b", "sell", "0.001", reduce_only=True)
    assert bench.order("b").state is VenueOrderState.FILLED


def test_margin_in_use_by_positions_and_resting_orders_counts() -> None:
    bench = Bench("1000")  # carries 20,000
    bench.book("60000x9", "60001x9")
    bench.send("a", "buy", "0.1")
    bench.send("b", "buy", "0.2", limit="59000")
    bench.send("c", "buy", "0.1", limit="59000")
    assert bench.order("b").state is VenueOrderState.OPEN
    assert bench.order("c").reason is Reason.INSUFFICIENT_MARGIN
    bench.send("d", "sell", "0.1")
    assert bench.order("d").state is VenueOrderState.FILLED, "what only reduces needs no margin"


def test_an_unrealised_loss_takes_margin_away_and_reducing_goes_on() -> None:
    bench = Bench("1000")
    bench.book("60000x9", "60001x9")
    bench.send("a", "buy", "0.3")
    bench.book("57000x9", "57001x9")
    bench.send("b", "buy", "0.01")
    assert bench.order("b").reason is Reason.INSUFFICIENT_MARGIN
    bench.send("c", "sell", "0.3")
    assert (bench.order("c").state, bench.position()) == (VenueOrderState.FILLED, 0)


def test_a_lower_leverage_setting_allows_less() -> None:
    for leverage, state in (("20", VenueOrderState.FILLED), ("1", VenueOrderState.REJECTED)):
        bench = Bench("1000", leverage=leverage)
        bench.book("60000x9", "60001x9")
        bench.send("a", "buy", "0.1")
        assert bench.order("a").state is state


def test_a_stop_that_cannot_be_carried_is_cancelled_when_it_triggers(bench: Bench) -> None:
    bench.send("a", "buy", "3", stop="60100")
    bench.state.balances["USDT"] -= 9990
    bench.book("60100x5", "60101x5")
    order = bench.order("a")
    assert (order.state, order.reason) == (VenueOrderState.CANCELED, Reason.INSUFFICIENT_MARGIN)


def test_a_stop_that_triggers_into_an_empty_book_is_cancelled(bench: Bench) -> None:
    bench.send("a", "buy", "1")
    bench.send("s", "sell", "1", stop="59000", reduce_only=True)
    bench.book("", "60001x1")
    bench.trade("sell", "1", "58000")
    order = bench.order("s")
    assert (order.state, order.reason, bench.position()) == (VenueOrderState.CANCELED, Reason.NO_LIQUIDITY, 1)


def the_reject(updates: list[Any]) -> VenueReject:
    (reject,) = updates
    assert isinstance(reject, VenueReject)
    return reject


@pytest.mark.parametrize("state", ["on its way", "working", "final"])
def test_a_client_order_id_is_used_once(bench: Bench, state: str) -> None:
    if state == "on its way":
        bench.post(send("a", "buy", "1"))
    else:
        bench.send("a", "buy", "1", **({"limit": "59000"} if state == "working" else {}))
    reject = the_reject(bench.post(send("a", "buy", "1")))
    assert (reject.request, reject.reason) == (RequestKind.SEND, Reason.DUPLICATE_ORDER)
    assert reject.message == "DUPLICATE_ORDER: client_order_id=a was used before"
    bench.wait()
    assert len([order for order in bench.state.orders if order == "a"]) == 1


def test_a_cancel_of_nothing_and_of_what_is_final(bench: Bench) -> None:
    reject = the_reject(bench.cancel("a"))
    assert (reject.request, reject.reason) == (RequestKind.CANCEL, Reason.UNKNOWN_ORDER)
    assert reject.message == "UNKNOWN_ORDER: client_order_id=a, state=none"
    bench.send("a", "buy", "1")
    assert the_reject(bench.cancel("a")).message == "UNKNOWN_ORDER: client_order_id=a, state=FILLED"


AMENDS: list[tuple[str, dict[str, str], Reason, str]] = [
    ("nothing to change", {}, Reason.INVALID_INTENT, "amend: quantity, limit_price and trigger_price are all 0"),
    (
        "below what is filled",
        {"quantity": "0.2"},
        Reason.QUANTITY_STEP,
        "QUANTITY_STEP: quantity=0.2, allowed: more than the filled 0.2",
    ),
    ("off the step", {"quantity": "0.4005"}, Reason.QUANTITY_STEP, "QUANTITY_STEP: quantity 0.4005"),
    ("off the tick", {"limit_price": "59999.99"}, Reason.PRICE_TICK, "PRICE_TICK: price 59999.99"),
    (
        "a limit has no trigger",
        {"trigger_price": "61000"},
        Reason.INVALID_INTENT,
        "trigger_price 61000: a LIMIT order has none",
    ),
    ("post-only would take", {"limit_price": "60001"}, Reason.WOULD_TAKE, "WOULD_TAKE: limit_price=60001"),
    ("too large", {"quantity": "50"}, Reason.INSUFFICIENT_MARGIN, "INSUFFICIENT_MARGIN: required="),
]


@pytest.mark.parametrize(("why", "changes", "reason", "message"), AMENDS, ids=[case[0] for case in AMENDS])
def test_amends(bench: Bench, why: str, changes: dict[str, str], reason: Reason, message: str) -> None:
    bench.send("a", "buy", "1", limit="60000", tif="POST_ONLY")
    bench.trade("sell", "1.2", "60000")
    before = bench.order("a")
    reject = the_reject(bench.amend("a", **changes))
    assert (reject.request, reject.reason) == (RequestKind.AMEND, reason), reject.message
    assert reject.message.startswith(message)
    assert bench.order("a") == before
    bench.trade("sell", "0.1", "60000")
    assert bench.order("a").filled_quantity > before.filled_quantity, "it kept its place"


def test_amends_of_triggers_and_of_nothing(bench: Bench) -> None:
    bench.send("entry", "buy", "1")
    bench.send("s", "sell", "1", stop="59900", reduce_only=True)
    assert the_reject(bench.amend("s", trigger_price="61000")).reason is Reason.WOULD_TRIGGER
    assert the_reject(bench.amend("nobody", quantity="1")).reason is Reason.UNKNOWN_ORDER
    assert bench.order("s").trigger_price == 59900
