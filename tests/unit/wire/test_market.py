"""Market data on the wire: whatever is no canonical number in range is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from titan.domain.enums import Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import Bar, BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.v1 import market_pb2 as pb
from titan.wire.market import (
    bar_from_wire,
    bar_to_wire,
    event_from_wire,
    event_to_wire,
    instrument_from_wire,
    instrument_to_wire,
)

D = Decimal
QUOTE = QuoteEvent(1, "BTC/USDT", 5, 6, D(0), D(0), D("60000.1"), D("0.5"))
TRADE = TradeEvent(2, "BTC/USDT", 5, 6, "77", D("60000.1"), D("0.5"), Side.SELL)
BOOK = BookEvent(3, "BTC/USDT", 0, 6, False, 9, (Level(D(60_000), D(0)),), (Level(D("60000.1"), D(2)),))
INSTRUMENT = PAPER_INSTRUMENTS["BTC/USDT:USDT"]
BAR = Bar("BTC/USDT", 0, 1, D(2), D(3), D(1), D(2), D(0))


@pytest.mark.parametrize("event", [QUOTE, TRADE, BOOK, BookEvent(4, "BTC/USDT", 0, 6, True, 0, (), ())])
def test_an_event_comes_back(event: MarketEvent) -> None:
    assert event_from_wire(event_to_wire(event)) == event


def test_instruments_and_bars_come_back() -> None:
    assert instrument_from_wire(instrument_to_wire(INSTRUMENT)) == INSTRUMENT
    assert bar_from_wire(bar_to_wire(BAR)) == BAR


def quote(wire: pb.MarketEvent, text: str) -> None:
    wire.quote.bid_price = text


def trade_price(wire: pb.MarketEvent, text: str) -> None:
    wire.trade.price = text


def trade_quantity(wire: pb.MarketEvent, text: str) -> None:
    wire.trade.quantity = text


def level_price(wire: pb.MarketEvent, text: str) -> None:
    wire.book.asks[0].price = text


def level_quantity(wire: pb.MarketEvent, text: str) -> None:
    wire.book.bids[0].quantity = text


NONE = ["NaN", "sNaN", "Infinity", "-Infinity", "1e400", "-1", "x", "1" * 19]
BAD = [*NONE, "1E+3", "+1", "1_0", " 1", "1.0", "٣"]


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize(
    ("event", "change", "says"),
    [
        (QUOTE, quote, "market event 1 of 'BTC/USDT': quote: price or quantity: "),
        (TRADE, trade_price, "market event 2 of 'BTC/USDT': trade: price or quantity: "),
        (TRADE, trade_quantity, "market event 2 of 'BTC/USDT': trade: price or quantity: "),
        (BOOK, level_price, "market event 3 of 'BTC/USDT': book: price or quantity: "),
        (BOOK, level_quantity, "market event 3 of 'BTC/USDT': book: price or quantity: "),
    ],
)
def test_a_number_that_is_not_allowed(
    event: MarketEvent, change: Callable[[pb.MarketEvent, str], None], says: str, text: str
) -> None:
    wire = event_to_wire(event)
    change(wire, text)
    with pytest.raises(ValueError, match="is not allowed; allowed are decimals from 0 on and below") as caught:
        event_from_wire(wire)
    assert str(caught.value).startswith(says)
    assert text in str(caught.value)


def test_a_side_or_an_event_that_is_not_known() -> None:
    wire = event_to_wire(TRADE)
    wire.trade.taker_side = 9  # type: ignore[assignment]
    with pytest.raises(
        ValueError, match="market event 2 of 'BTC/USDT': trade: taker_side: 9 is not known; allowed are"
    ):
        event_from_wire(wire)
    with pytest.raises(
        ValueError, match="market event 7 of 'X': None: is not known; allowed are quote, trade and book"
    ):
        event_from_wire(pb.MarketEvent(sequence=7, symbol="X"))


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize(
    "field",
    ["tick_size", "quantity_step", "min_quantity", "min_notional", "contract_size", "max_margin_leverage"],
)
def test_an_instruments_number(field: str, text: str) -> None:
    wire = instrument_to_wire(INSTRUMENT)
    setattr(wire, field, text)
    with pytest.raises(ValueError, match=f"^{field}: "):
        instrument_from_wire(wire)


@pytest.mark.parametrize("field", ["tick_size", "quantity_step", "max_margin_leverage"])
def test_an_instruments_divisor_is_above_0(field: str) -> None:
    wire = instrument_to_wire(INSTRUMENT)
    setattr(wire, field, "0")
    with pytest.raises(ValueError, match=f"^{field}: '0' is not allowed; allowed are decimals above 0"):
        instrument_from_wire(wire)


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("field", ["open", "high", "low", "close", "quantity"])
def test_a_bars_number(field: str, text: str) -> None:
    wire = bar_to_wire(BAR)
    setattr(wire, field, text)
    with pytest.raises(ValueError, match=rf"^bar\.{field}: "):
        bar_from_wire(wire)
