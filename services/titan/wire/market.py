"""Market data between the domain and the wire."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Side
from titan.domain.instruments import Instrument
from titan.domain.market import Bar, BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.numbers import format_decimal
from titan.v1 import market_pb2 as pb
from titan.wire.fields import enum_number


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
        When the message holds none of the known events.
    """
    kind = wire.WhichOneof("event")
    if kind == "quote":
        quote = wire.quote
        return QuoteEvent(
            sequence=wire.sequence,
            symbol=wire.symbol,
            event_time_ns=wire.event_time_ns,
            market_time_ns=wire.market_time_ns,
            bid_price=Decimal(quote.bid_price),
            bid_quantity=Decimal(quote.bid_quantity),
            ask_price=Decimal(quote.ask_price),
            ask_quantity=Decimal(quote.ask_quantity),
        )
    if kind == "trade":
        trade = wire.trade
        return TradeEvent(
            sequence=wire.sequence,
            symbol=wire.symbol,
            event_time_ns=wire.event_time_ns,
            market_time_ns=wire.market_time_ns,
            trade_id=trade.trade_id,
            price=Decimal(trade.price),
            quantity=Decimal(trade.quantity),
            taker_side=Side(trade.taker_side),
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
            bids=tuple([Level(Decimal(level.price), Decimal(level.quantity)) for level in book.bids]),
            asks=tuple([Level(Decimal(level.price), Decimal(level.quantity)) for level in book.asks]),
        )
    raise ValueError(f"market event {wire.sequence} of {wire.symbol!r} holds {kind!r}; known are quote, trade and book")


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
    """Read an instrument."""
    return Instrument(
        symbol=wire.symbol,
        kind="perp" if wire.kind == "perp" else "spot",
        base=wire.base,
        quote=wire.quote,
        settle=wire.settle,
        tick_size=Decimal(wire.tick_size),
        quantity_step=Decimal(wire.quantity_step),
        min_quantity=Decimal(wire.min_quantity),
        min_notional=Decimal(wire.min_notional),
        contract_size=Decimal(wire.contract_size),
        maker_fee_bps=Decimal(wire.maker_fee_bps),
        taker_fee_bps=Decimal(wire.taker_fee_bps),
        max_margin_leverage=Decimal(wire.max_margin_leverage),
        maintenance_margin=Decimal(wire.maintenance_margin),
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
    """Read a bar."""
    return Bar(
        symbol=wire.symbol,
        start_ns=wire.start_ns,
        end_ns=wire.end_ns,
        open=Decimal(wire.open),
        high=Decimal(wire.high),
        low=Decimal(wire.low),
        close=Decimal(wire.close),
        quantity=Decimal(wire.quantity),
    )
