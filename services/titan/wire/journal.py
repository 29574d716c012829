"""Journal records: between the domain's facts and the bytes in the file."""

from __future__ import annotations

from titan.domain.enums import OrderType, PositionEffect, Posture, Side, TimeInForce
from titan.domain.journal_records import (
    Adoption,
    BrainTerm,
    DayStart,
    Deposit,
    Fact,
    HighWaterMark,
    Intake,
    LatchChange,
    PeakMove,
    Record,
    Refusal,
)
from titan.domain.numbers import format_decimal, parse_decimal
from titan.domain.orders import Fill, Order
from titan.domain.reasons import Reason
from titan.domain.truth import Drift
from titan.v1 import execution_pb2, journal_pb2
from titan.wire import orders as wire
from titan.wire.fields import enum_number, read_amount, read_enum, read_positive

# Field number of `intake`, with the wire type of a length and bytes.
_INTAKE_TAG = bytes([journal_pb2.JournalRecord.INTAKE_FIELD_NUMBER << 3 | 2])


def intake_from_wire(request: execution_pb2.PlaceOrder) -> Intake:
    """Read an order of Brain's strictly; ``position_effect`` is the request's.

    Raises
    ------
    ValueError
        One sentence: the field, its value and what is allowed.
    """
    for field in ("intent_id", "phase_id", "symbol"):
        if not getattr(request, field):
            raise ValueError(f"{field}: '' is not allowed; it is needed")
    if request.attempt < 1:
        raise ValueError(f"attempt: {request.attempt} is not allowed; allowed are numbers from 1 on")
    if request.ttl_ns < 0:
        raise ValueError(f"ttl_ns: {request.ttl_ns} is not allowed; allowed are 0 (none) and more")
    order_type = read_enum(OrderType, request.order_type, "order_type")
    if order_type not in (OrderType.MARKET, OrderType.LIMIT):
        raise ValueError(f"order_type: {order_type.name} is not allowed; allowed are MARKET, LIMIT")
    read_limit = read_amount if order_type is OrderType.MARKET else read_positive
    return Intake(
        intent_id=request.intent_id,
        phase_id=request.phase_id,
        attempt=request.attempt,
        position_effect=read_enum(PositionEffect, request.position_effect, "position_effect"),
        symbol=request.symbol,
        side=read_enum(Side, request.side, "side"),
        order_type=order_type,
        time_in_force=read_enum(TimeInForce, request.time_in_force, "time_in_force"),
        quantity=read_positive(request.quantity, "quantity"),
        policy_hash=request.policy_hash,
        term=request.term,
        event_time_ns=request.event_time_ns,
        ttl_ns=request.ttl_ns,
        limit_price=read_limit(request.limit_price, "limit_price"),
        stop_price=read_amount(request.stop_price, "stop_price"),
        target_price=read_amount(request.target_price, "target_price"),
        setup=request.setup or request.decision.setup,
    )


def encode_intake(
    request: execution_pb2.PlaceOrder, position_effect: PositionEffect, market_time_ns: int, term: int
) -> bytes:
    """Encode an accepted order: the request as received, with Brain's explain record and our own position effect."""
    request.position_effect = enum_number(position_effect)
    body = request.SerializeToString()
    # A message is the bytes of its fields one after another: to embed the request as bytes spares the order path a
    # copy.
    head = journal_pb2.JournalRecord(market_time_ns=market_time_ns, term=term).SerializeToString()
    return b"".join((head, _INTAKE_TAG, _varint(len(body)), body))


def _varint(number: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_record(record: Record) -> bytes:
    """Encode any record but an intake, whose request is kept whole (:func:`encode_intake`)."""
    message = journal_pb2.JournalRecord(market_time_ns=record.market_time_ns, term=record.term)
    fact = record.fact
    if isinstance(fact, Order):
        message.order.CopyFrom(wire.order_to_wire(fact))
    elif isinstance(fact, Fill):
        message.fill.CopyFrom(wire.fill_to_wire(fact))
    elif isinstance(fact, Refusal):
        message.refusal.CopyFrom(refusal_to_wire(fact))
    elif isinstance(fact, LatchChange):
        message.latch.posture = enum_number(fact.posture)
        message.latch.by, message.latch.reason, message.latch.nonce = fact.by, fact.reason, fact.nonce
    elif isinstance(fact, BrainTerm):
        message.brain_term = fact.term
    elif isinstance(fact, Drift):
        message.drift.CopyFrom(wire.drift_to_wire(fact))
    elif isinstance(fact, Deposit):
        message.deposit.asset, message.deposit.reference = fact.asset, fact.reference
        message.deposit.amount = format_decimal(fact.amount)
        message.deposit.in_proportion = fact.in_proportion
    elif isinstance(fact, DayStart):
        message.day_start.equity = format_decimal(fact.equity)
        message.day_start.high_water_mark = format_decimal(fact.high_water_mark)
    elif isinstance(fact, HighWaterMark):
        message.high_water_mark.equity = format_decimal(fact.equity)
    elif isinstance(fact, PeakMove):
        message.peak_move.high_water_mark = format_decimal(fact.high_water_mark)
        message.peak_move.by, message.peak_move.reason = fact.by, fact.reason
        message.peak_move.nonce = fact.nonce
    elif isinstance(fact, Adoption):
        message.adoption.symbol, message.adoption.asset = fact.symbol, fact.asset
        message.adoption.quantity = format_decimal(fact.quantity)
        message.adoption.average_entry_price = format_decimal(fact.average_entry_price)
        message.adoption.amount = format_decimal(fact.amount)
    else:
        raise TypeError(f"an {type(fact).__name__} is encoded with its request")
    return message.SerializeToString()


def decode_record(data: bytes) -> Record:
    """Decode a record of the file.

    Raises
    ------
    ValueError
        For bytes that are no record, or an invalid field, which it names.
    """
    message = journal_pb2.JournalRecord.FromString(data)
    return Record(_fact(message), message.market_time_ns, message.term)


def _fact(message: journal_pb2.JournalRecord) -> Fact:
    kind = message.WhichOneof("record")
    if kind == "intake":
        return intake_from_wire(message.intake)
    if kind == "order":
        return wire.order_from_wire(message.order)
    if kind == "fill":
        return wire.fill_from_wire(message.fill)
    if kind == "refusal":
        refusal = message.refusal
        return Refusal(
            intent_id=refusal.intent_id,
            phase_id=refusal.phase_id,
            attempt=refusal.attempt,
            reason=read_enum(Reason, refusal.reason, "refusal.reason"),
            message=refusal.message,
        )
    if kind == "latch":
        latch = message.latch
        return LatchChange(
            posture=read_enum(Posture, latch.posture, "latch.posture"),
            by=latch.by,
            reason=latch.reason,
            nonce=latch.nonce,
        )
    if kind == "brain_term":
        return BrainTerm(message.brain_term)
    if kind == "drift":
        return wire.drift_from_wire(message.drift)
    if kind == "deposit":
        deposit = message.deposit
        amount = parse_decimal(deposit.amount, "deposit.amount")
        return Deposit(
            asset=deposit.asset, amount=amount, reference=deposit.reference, in_proportion=deposit.in_proportion
        )
    if kind == "day_start":
        return DayStart(
            equity=parse_decimal(message.day_start.equity, "day_start.equity"),
            high_water_mark=parse_decimal(message.day_start.high_water_mark, "day_start.high_water_mark"),
        )
    if kind == "high_water_mark":
        return HighWaterMark(parse_decimal(message.high_water_mark.equity, "high_water_mark.equity"))
    if kind == "peak_move":
        move = message.peak_move
        return PeakMove(
            high_water_mark=parse_decimal(move.high_water_mark, "peak_move.high_water_mark"),
            by=move.by,
            reason=move.reason,
            nonce=move.nonce,
        )
    if kind == "adoption":
        adoption = message.adoption
        return Adoption(
            symbol=adoption.symbol,
            quantity=parse_decimal(adoption.quantity, "adoption.quantity"),
            average_entry_price=parse_decimal(adoption.average_entry_price, "adoption.average_entry_price"),
            asset=adoption.asset,
            amount=parse_decimal(adoption.amount, "adoption.amount"),
        )
    raise ValueError(f"journal record of kind {kind!r} is not known to this program")


def refusal_to_wire(refusal: Refusal) -> execution_pb2.PlaceRefusal:
    """Write a refusal for Brain."""
    return execution_pb2.PlaceRefusal(
        intent_id=refusal.intent_id,
        phase_id=refusal.phase_id,
        reason=enum_number(refusal.reason),
        message=refusal.message,
        attempt=refusal.attempt,
    )
