"""Orders, fills, positions, equity and truth: between the domain's records and the wire's messages.

Decimals cross as canonical strings (empty reads as zero), enumerations by their number, which both sides share.
"""

from __future__ import annotations

from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.lots import Lot
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position, RoundTrip
from titan.domain.reasons import Reason
from titan.domain.truth import Drift, TruthSnapshot
from titan.v1 import execution_pb2, order_pb2
from titan.wire.fields import enum_number, optional_decimal, read_decimal, read_enum


def order_to_wire(order: Order) -> order_pb2.Order:
    """Write an order."""
    return order_pb2.Order(
        client_order_id=order.client_order_id,
        intent_id=order.intent_id,
        phase_id=order.phase_id,
        order_role=enum_number(order.order_role),
        attempt=order.attempt,
        symbol=order.symbol,
        side=enum_number(order.side),
        type=enum_number(order.type),
        time_in_force=enum_number(order.time_in_force),
        quantity=format_decimal(order.quantity),
        limit_price=format_decimal(order.limit_price),
        trigger_price=format_decimal(order.trigger_price),
        reduce_only=order.reduce_only,
        state=enum_number(order.state),
        filled_quantity=format_decimal(order.filled_quantity),
        average_price=format_decimal(order.average_price),
        reason=enum_number(order.reason),
        message=order.message,
        policy_hash=order.policy_hash,
        term=order.term,
        created_ns=order.created_ns,
        updated_ns=order.updated_ns,
        venue_order_id=order.venue_order_id,
    )


def order_from_wire(message: order_pb2.Order) -> Order:
    """Read an order.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or an enumeration without a name; names the field.
    """
    return Order(
        client_order_id=message.client_order_id,
        intent_id=message.intent_id,
        phase_id=message.phase_id,
        order_role=read_enum(OrderRole, message.order_role, "order.order_role"),
        attempt=message.attempt,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "order.side"),
        type=read_enum(OrderType, message.type, "order.type"),
        time_in_force=read_enum(TimeInForce, message.time_in_force, "order.time_in_force"),
        quantity=read_decimal(message.quantity, "order.quantity"),
        limit_price=read_decimal(message.limit_price, "order.limit_price"),
        trigger_price=read_decimal(message.trigger_price, "order.trigger_price"),
        reduce_only=message.reduce_only,
        state=read_enum(OrderState, message.state, "order.state"),
        filled_quantity=read_decimal(message.filled_quantity, "order.filled_quantity"),
        average_price=read_decimal(message.average_price, "order.average_price"),
        reason=read_enum(Reason, message.reason, "order.reason"),
        message=message.message,
        policy_hash=message.policy_hash,
        term=message.term,
        created_ns=message.created_ns,
        updated_ns=message.updated_ns,
        venue_order_id=message.venue_order_id,
    )


def fill_to_wire(fill: Fill) -> order_pb2.Fill:
    """Write a fill."""
    return order_pb2.Fill(
        trade_id=fill.trade_id,
        client_order_id=fill.client_order_id,
        intent_id=fill.intent_id,
        phase_id=fill.phase_id,
        order_role=enum_number(fill.order_role),
        symbol=fill.symbol,
        side=enum_number(fill.side),
        quantity=format_decimal(fill.quantity),
        price=format_decimal(fill.price),
        fee=format_decimal(fill.fee),
        fee_currency=fill.fee_currency,
        maker=fill.maker,
        event_time_ns=fill.event_time_ns,
        realized_pnl=format_decimal(fill.realized_pnl),
        policy_hash=fill.policy_hash,
        venue_sequence=fill.venue_sequence,
        position_quantity="" if fill.position_quantity is None else format_decimal(fill.position_quantity),
    )


def fill_from_wire(message: order_pb2.Fill) -> Fill:
    """Read a fill.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or an enumeration without a name; names the field.
    """
    return Fill(
        trade_id=message.trade_id,
        client_order_id=message.client_order_id,
        intent_id=message.intent_id,
        phase_id=message.phase_id,
        order_role=read_enum(OrderRole, message.order_role, "fill.order_role"),
        symbol=message.symbol,
        side=read_enum(Side, message.side, "fill.side"),
        quantity=read_decimal(message.quantity, "fill.quantity"),
        price=read_decimal(message.price, "fill.price"),
        fee=read_decimal(message.fee, "fill.fee"),
        fee_currency=message.fee_currency,
        maker=message.maker,
        event_time_ns=message.event_time_ns,
        realized_pnl=read_decimal(message.realized_pnl, "fill.realized_pnl"),
        policy_hash=message.policy_hash,
        venue_sequence=message.venue_sequence,
        position_quantity=(
            read_decimal(message.position_quantity, "fill.position_quantity") if message.position_quantity else None
        ),
    )


def position_to_wire(position: Position) -> order_pb2.Position:
    """Write a net position with its shares."""
    return order_pb2.Position(
        symbol=position.symbol,
        quantity=format_decimal(position.quantity),
        average_entry_price=format_decimal(position.average_entry_price),
        mark_price=format_decimal(position.mark_price),
        unrealized_pnl=format_decimal(position.unrealized_pnl),
        realized_pnl=format_decimal(position.realized_pnl),
        stop_price=format_decimal(position.stop_price),
        stop_quantity=format_decimal(position.stop_quantity),
        target_price=format_decimal(position.target_price),
        opened_ns=position.opened_ns,
        updated_ns=position.updated_ns,
        shares=[
            order_pb2.PhaseShare(
                phase_id=share.phase_id,
                quantity=format_decimal(share.quantity),
                average_entry_price=format_decimal(share.average_entry_price),
                intent_id=share.intent_id,
                opened_ns=share.opened_ns,
            )
            for share in position.shares
        ],
        lots=[
            order_pb2.Lot(
                intent_id=lot.intent_id,
                phase_id=lot.phase_id,
                quantity=format_decimal(lot.quantity),
                stop_price=optional_decimal(lot.stop_price),
                target_price=optional_decimal(lot.target_price),
                opened_ns=lot.opened_ns,
                updated_ns=lot.updated_ns,
            )
            for lot in position.lots
        ],
    )


def position_from_wire(message: order_pb2.Position) -> Position:
    """Read a net position.

    Raises
    ------
    ValueError
        For a decimal that is not canonical; names the field.
    """
    return Position(
        symbol=message.symbol,
        quantity=read_decimal(message.quantity, "position.quantity"),
        average_entry_price=read_decimal(message.average_entry_price, "position.average_entry_price"),
        mark_price=read_decimal(message.mark_price, "position.mark_price"),
        unrealized_pnl=read_decimal(message.unrealized_pnl, "position.unrealized_pnl"),
        realized_pnl=read_decimal(message.realized_pnl, "position.realized_pnl"),
        stop_price=read_decimal(message.stop_price, "position.stop_price"),
        stop_quantity=read_decimal(message.stop_quantity, "position.stop_quantity"),
        target_price=read_decimal(message.target_price, "position.target_price"),
        opened_ns=message.opened_ns,
        updated_ns=message.updated_ns,
        shares=tuple(
            PhaseShare(
                phase_id=share.phase_id,
                quantity=read_decimal(share.quantity, "share.quantity"),
                average_entry_price=read_decimal(share.average_entry_price, "share.average_entry_price"),
                intent_id=share.intent_id,
                opened_ns=share.opened_ns,
            )
            for share in message.shares
        ),
        lots=tuple(
            Lot(
                intent_id=lot.intent_id,
                phase_id=lot.phase_id,
                symbol=message.symbol,
                quantity=read_decimal(lot.quantity, "lot.quantity"),
                stop_price=read_decimal(lot.stop_price, "lot.stop_price"),
                target_price=read_decimal(lot.target_price, "lot.target_price"),
                opened_ns=lot.opened_ns,
                updated_ns=lot.updated_ns,
            )
            for lot in message.lots
        ),
    )


def equity_to_wire(equity: Equity) -> order_pb2.Equity:
    """Write equity; where it is unknown, only the reason."""
    if not equity.known:
        return order_pb2.Equity(known=False, reason=equity.reason, market_time_ns=equity.market_time_ns)
    return order_pb2.Equity(
        known=True,
        reason=equity.reason,
        equity=format_decimal(equity.equity),
        cash=format_decimal(equity.cash),
        unrealized_pnl=format_decimal(equity.unrealized_pnl),
        realized_pnl=format_decimal(equity.realized_pnl),
        fees=format_decimal(equity.fees),
        day_start_equity=format_decimal(equity.day_start_equity),
        high_water_mark=format_decimal(equity.high_water_mark),
        drawdown=format_decimal(equity.drawdown),
        margin_used=format_decimal(equity.margin_used),
        market_time_ns=equity.market_time_ns,
        confirmed_equity=format_decimal(equity.confirmed_equity),
        net_deposits=format_decimal(equity.net_deposits),
        oldest_mark_ns=equity.oldest_mark_ns,
    )


def equity_from_wire(message: order_pb2.Equity) -> Equity:
    """Read equity. An Execution of before confirmed prices sends none: then its equity is what it confirms.

    Raises
    ------
    ValueError
        For a decimal that is not canonical; names the field.
    """
    worth = read_decimal(message.equity, "equity.equity")
    return Equity(
        known=message.known,
        reason=message.reason,
        equity=worth,
        unconfirmed=(
            worth - read_decimal(message.confirmed_equity, "equity.confirmed_equity")
            if message.confirmed_equity
            else ZERO
        ),
        cash=read_decimal(message.cash, "equity.cash"),
        unrealized_pnl=read_decimal(message.unrealized_pnl, "equity.unrealized_pnl"),
        realized_pnl=read_decimal(message.realized_pnl, "equity.realized_pnl"),
        fees=read_decimal(message.fees, "equity.fees"),
        day_start_equity=read_decimal(message.day_start_equity, "equity.day_start_equity"),
        high_water_mark=read_decimal(message.high_water_mark, "equity.high_water_mark"),
        drawdown=read_decimal(message.drawdown, "equity.drawdown"),
        margin_used=read_decimal(message.margin_used, "equity.margin_used"),
        net_deposits=read_decimal(message.net_deposits, "equity.net_deposits"),
        market_time_ns=message.market_time_ns,
        oldest_mark_ns=message.oldest_mark_ns,
    )


def drift_to_wire(drift: Drift) -> order_pb2.Drift:
    """Write a drift."""
    message = order_pb2.Drift(
        symbol=drift.symbol, ours=drift.ours, venues=drift.venues, resolved=drift.resolved, repair=drift.repair
    )
    # `class` is a keyword of Python, so it cannot be named in the call.
    setattr(message, "class", int(drift.drift_class))
    return message


def drift_from_wire(message: order_pb2.Drift) -> Drift:
    """Read a drift.

    Raises
    ------
    ValueError
        For a class without a name.
    """
    return Drift(
        drift_class=read_enum(DriftClass, getattr(message, "class"), "drift.class"),
        symbol=message.symbol,
        ours=message.ours,
        venues=message.venues,
        resolved=message.resolved,
        repair=message.repair,
    )


def truth_to_wire(truth: TruthSnapshot) -> order_pb2.TruthSnapshot:
    """Write a truth snapshot."""
    return order_pb2.TruthSnapshot(
        known=truth.known,
        score=truth.score,
        drifts=[drift_to_wire(drift) for drift in truth.drifts],
        unresolved=truth.unresolved,
        ours_sha256=truth.ours_sha256,
        venues_sha256=truth.venues_sha256,
        market_time_ns=truth.market_time_ns,
        passes=truth.passes,
    )


def truth_from_wire(message: order_pb2.TruthSnapshot) -> TruthSnapshot:
    """Read a truth snapshot."""
    return TruthSnapshot(
        known=message.known,
        score=message.score,
        drifts=tuple(drift_from_wire(drift) for drift in message.drifts),
        unresolved=message.unresolved,
        ours_sha256=message.ours_sha256,
        venues_sha256=message.venues_sha256,
        market_time_ns=message.market_time_ns,
        passes=message.passes,
    )


def round_trip_to_wire(trip: RoundTrip) -> execution_pb2.RoundTrip:
    """Write a finished trade."""
    return execution_pb2.RoundTrip(
        intent_id=trip.intent_id,
        phase_id=trip.phase_id,
        symbol=trip.symbol,
        side=enum_number(trip.side),
        quantity=format_decimal(trip.quantity),
        entry_price=format_decimal(trip.entry_price),
        exit_price=format_decimal(trip.exit_price),
        realized_pnl=format_decimal(trip.realized_pnl),
        fees=format_decimal(trip.fees),
        opened_ns=trip.opened_ns,
        closed_ns=trip.closed_ns,
        setup=trip.setup,
        risk=format_decimal(trip.risk),
    )


def round_trip_from_wire(message: execution_pb2.RoundTrip) -> RoundTrip:
    """Read a finished trade.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or a side without a name; names the field.
    """
    return RoundTrip(
        intent_id=message.intent_id,
        phase_id=message.phase_id,
        setup=message.setup,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "round_trip.side"),
        quantity=read_decimal(message.quantity, "round_trip.quantity"),
        entry_price=read_decimal(message.entry_price, "round_trip.entry_price"),
        exit_price=read_decimal(message.exit_price, "round_trip.exit_price"),
        realized_pnl=read_decimal(message.realized_pnl, "round_trip.realized_pnl"),
        fees=read_decimal(message.fees, "round_trip.fees"),
        risk=read_decimal(message.risk, "round_trip.risk"),
        opened_ns=message.opened_ns,
        closed_ns=message.closed_ns,
    )
