"""Market data between the domain and the wire."""

from __future__ import annotations

from collections.abc import Iterable

from titan.domain.enums import Side
from titan.domain.instruments import Instrument
from titan.domain.market import Bar, BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.numbers import format_decimal
from titan.v1 import market_pb2 as pb
from titan.wire.fields import (
    enum_number,
    market_number,
    read_amount,
    read_decimal,
    read_enum,
    read_positive,
)


def event_to_wire(event: MarketEvent) -> pb.MarketEvent:
    """Write a market event."""
    wire = pb.MarketEvent(
        sequence=event.sequence,
        symbol=event.symbol,
        event_time_ns=event.event_time_ns,
        market_time_ns=event.market_time_ns,
    )
    if isinstance(event, QuoteEvent):
        quote = wire.quote
        quote.bid_price = format_decimal(event.bid_price)
        quote.bid_quantity = format_decimal(event.bid_quantity)
        quote.ask_price = format_decimal(event.ask_price)
        quote.ask_quantity = format_decimal(event.ask_quantity)
    elif isinstance(event, TradeEvent):
        trade = wire.trade
        trade.trade_id = event.trade_id
        trade.price = format_decimal(event.price)
        trade.quantity = format_decimal(event.quantity)
        trade.taker_side = enum_number(event.taker_side)
    else:
        book = wire.book
        book.snapshot = event.snapshot
        book.update_id = event.update_id
        # An empty message must still be a book.
        book.SetInParent()
        for level in event.bids:
            book.bids.add(price=format_decimal(level.price), quantity=format_decimal(level.quantity))
        for level in event.asks:
            book.asks.add(price=format_decimal(level.price), quantity=format_decimal(level.quantity))
    return wire


def event_from_wire(wire: pb.MarketEvent) -> MarketEvent:
    """Read a market event.

    Raises
    ------
    ValueError
        When the message holds none of the known events, or a number that is not canonical or below 0.
    """
    kind = wire.WhichOneof("event")
    try:
        return _event(wire, kind)
    except ValueError as error:
        raise ValueError(f"market event {wire.sequence} of {wire.symbol!r}: {kind}: {error}") from error


def _event(wire: pb.MarketEvent, kind: str | None) -> MarketEvent:
    if kind == "quote":
        quote = wire.quote
        return QuoteEvent(
            sequence=wire.sequence,
            symbol=wire.symbol,
            event_time_ns=wire.event_time_ns,
            market_time_ns=wire.market_time_ns,
            bid_price=market_number(quote.bid_price),
            bid_quantity=market_number(quote.bid_quantity),
            ask_price=market_number(quote.ask_price),
            ask_quantity=market_number(quote.ask_quantity),
        )
    if kind == "trade":
        trade = wire.trade
        return TradeEvent(
            sequence=wire.sequence,
            symbol=wire.symbol,
            event_time_ns=wire.event_time_ns,
            market_time_ns=wire.market_time_ns,
            trade_id=trade.trade_id,
            price=market_number(trade.price),
            quantity=market_number(trade.quantity),
            taker_side=read_enum(Side, trade.taker_side, "taker_side"),
        )
    if kind == "book":
        book = wire.book
        return BookEvent(
            sequence=wire.sequence,
            symbol=wire.symbol,
            event_time_ns=wire.event_time_ns,
            market_time_ns=wire.market_time_ns,
            snapshot=book.snapshot,
            update_id=book.update_id,
            bids=_levels(book.bids),
            asks=_levels(book.asks),
        )
    raise ValueError("is not known; allowed are quote, trade and book")


def _levels(levels: Iterable[pb.Level]) -> tuple[Level, ...]:
    return tuple([Level(market_number(level.price), market_number(level.quantity)) for level in levels])


def instrument_to_wire(instrument: Instrument) -> pb.Instrument:
    """Write an instrument."""
    return pb.Instrument(
        symbol=instrument.symbol,
        kind=instrument.kind,
        base=instrument.base,
        quote=instrument.quote,
        settle=instrument.settle,
        tick_size=format_decimal(instrument.tick_size),
        quantity_step=format_decimal(instrument.quantity_step),
        min_quantity=format_decimal(instrument.min_quantity),
        min_notional=format_decimal(instrument.min_notional),
        contract_size=format_decimal(instrument.contract_size),
        maker_fee_bps=format_decimal(instrument.maker_fee_bps),
        taker_fee_bps=format_decimal(instrument.taker_fee_bps),
        max_margin_leverage=format_decimal(instrument.max_margin_leverage),
        maintenance_margin=format_decimal(instrument.maintenance_margin),
    )


def instrument_from_wire(wire: pb.Instrument) -> Instrument:
    """Read an instrument.

    Raises
    ------
    ValueError
        For a number that is not canonical or out of range.
    """
    return Instrument(
        symbol=wire.symbol,
        kind="perp" if wire.kind == "perp" else "spot",
        base=wire.base,
        quote=wire.quote,
        settle=wire.settle,
        tick_size=read_positive(wire.tick_size, "tick_size"),
        quantity_step=read_positive(wire.quantity_step, "quantity_step"),
        min_quantity=read_positive(wire.min_quantity, "min_quantity"),
        min_notional=read_amount(wire.min_notional, "min_notional"),
        contract_size=read_positive(wire.contract_size, "contract_size"),
        maker_fee_bps=read_decimal(wire.maker_fee_bps, "maker_fee_bps"),
        taker_fee_bps=read_decimal(wire.taker_fee_bps, "taker_fee_bps"),
        max_margin_leverage=read_positive(wire.max_margin_leverage, "max_margin_leverage"),
        maintenance_margin=read_amount(wire.maintenance_margin, "maintenance_margin"),
    )


def bar_to_wire(bar: Bar) -> pb.Bar:
    """Write a bar."""
    return pb.Bar(
        symbol=bar.symbol,
        start_ns=bar.start_ns,
        end_ns=bar.end_ns,
        open=format_decimal(bar.open),
        high=format_decimal(bar.high),
        low=format_decimal(bar.low),
        close=format_decimal(bar.close),
        quantity=format_decimal(bar.quantity),
    )


def bar_from_wire(wire: pb.Bar) -> Bar:
    """Read a bar.

    Raises
    ------
    ValueError
        For a number that is not canonical or out of range.
    """
    return Bar(
        symbol=wire.symbol,
        start_ns=wire.start_ns,
        end_ns=wire.end_ns,
        open=read_positive(wire.open, "bar.open"),
        high=read_positive(wire.high, "bar.high"),
        low=read_positive(wire.low, "bar.low"),
        close=read_positive(wire.close, "bar.close"),
        quantity=read_amount(wire.quantity, "bar.quantity"),
    )
