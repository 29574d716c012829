"""Intents, decisions, budgets and the posture: domain records to messages and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from titan.domain.budgets import Budget
from titan.domain.decisions import Decision, GuardResult
from titan.domain.enums import (
    Action,
    BudgetState,
    OrderType,
    PositionEffect,
    Posture,
    RiskLevel,
    Side,
    TimeInForce,
    Verdict,
)
from titan.domain.intents import Intent
from titan.domain.numbers import ONE, ZERO, format_decimal, parse_decimal
from titan.domain.posture import PostureState
from titan.domain.reasons import Reason
from titan.domain.symbols import is_unified
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.wire.fields import enum_number, optional_decimal, read_amount, read_decimal, read_enum

MAX_ID_LENGTH = 64


class InvalidIntentError(ValueError):
    """An intent cannot be read; the message is one sentence with field, value and what is allowed."""


def intent_to_wire(intent: Intent) -> b.Intent:
    """Write an intent; decimals that are 0 ("none") are left out."""
    return b.Intent(
        intent_id=intent.intent_id,
        phase_id=intent.phase_id,
        setup=intent.setup,
        symbol=intent.symbol,
        side=enum_number(intent.side),
        action=enum_number(intent.action),
        order_type=enum_number(intent.order_type),
        time_in_force=enum_number(intent.time_in_force),
        limit_price=optional_decimal(intent.limit_price),
        quantity=optional_decimal(intent.quantity),
        max_notional=optional_decimal(intent.max_notional),
        reference_price=optional_decimal(intent.reference_price),
        stop_price=optional_decimal(intent.stop_price),
        target_price=optional_decimal(intent.target_price),
        setup_score=intent.setup_score,
        volatility=intent.volatility,
        timeframe_ns=intent.timeframe_ns,
        event_time_ns=intent.event_time_ns,
        ttl_ns=intent.ttl_ns,
        policy_hash=intent.policy_hash,
        hops=hops_to_wire(intent.hops),
        evidence=intent.evidence,
    )


def intent_from_wire(message: b.Intent) -> Intent:
    """Read an intent and check every field by itself; the guards check it against the market and the policy.

    Raises
    ------
    InvalidIntentError
        Names the first invalid field, its value, and what is allowed.
    """
    try:
        return _read_intent(message)
    except ValueError as error:
        raise InvalidIntentError(str(error)) from None


def _read_intent(message: b.Intent) -> Intent:
    if not message.intent_id or len(message.intent_id) > MAX_ID_LENGTH:
        raise ValueError(f"intent_id: {message.intent_id[:80]!r} is not 1 to {MAX_ID_LENGTH} characters")
    if not is_unified(message.symbol):
        raise ValueError(
            f"symbol: {message.symbol[:40]!r} is not known; allowed are unified spellings like BTC/USDT:USDT"
        )
    action = read_enum(Action, message.action, "action")
    order_type = read_enum(OrderType, message.order_type, "order_type")
    if order_type is not OrderType.MARKET and order_type is not OrderType.LIMIT:
        raise ValueError(f"order_type: {order_type.name} is not for intents; allowed are MARKET and LIMIT")
    limit_price = read_amount(message.limit_price, "limit_price")
    if (order_type is OrderType.LIMIT) != (limit_price > ZERO):
        raise ValueError(
            f"limit_price: {message.limit_price or 'none'} with order_type {order_type.name}; "
            "a LIMIT order needs one and a MARKET order has none"
        )
    time_in_force = read_enum(TimeInForce, message.time_in_force, "time_in_force")
    if time_in_force is TimeInForce.POST_ONLY and order_type is OrderType.MARKET:
        raise ValueError("time_in_force: POST_ONLY with order_type MARKET; a market order always takes")
    quantity = read_amount(message.quantity, "quantity")
    if (action is Action.CLOSE) != (quantity > ZERO):
        raise ValueError(
            f"quantity: {message.quantity or 'none'} with action {action.name}; "
            "CLOSE needs one in base units and OPEN has none (Brain sizes it)"
        )
    reference_price = read_amount(message.reference_price, "reference_price")
    if reference_price == ZERO and action is Action.OPEN:
        raise ValueError(
            f"reference_price: {message.reference_price or 'none'} is not above 0, and OPEN is measured by it"
        )
    if not 0.0 <= message.setup_score <= 1.0:
        raise ValueError(f"setup_score: {message.setup_score} is not within 0 and 1")
    if not (math.isfinite(message.volatility) and message.volatility >= 0.0):
        raise ValueError(f"volatility: {message.volatility} is not a fraction of 0 or more")
    for field, nanoseconds in (
        ("timeframe_ns", message.timeframe_ns),
        ("ttl_ns", message.ttl_ns),
        ("event_time_ns", message.event_time_ns),
    ):
        if nanoseconds < 0:
            raise ValueError(f"{field}: {nanoseconds} is below 0")
    hops = hops_from_wire(message.hops)
    if any(duration < 0 for _, duration in hops):
        raise ValueError(f"hops: {hops} has a duration below 0")
    return Intent(
        intent_id=message.intent_id,
        phase_id=message.phase_id,
        setup=message.setup,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "side"),
        action=action,
        order_type=order_type,
        time_in_force=time_in_force,
        reference_price=reference_price,
        event_time_ns=message.event_time_ns,
        ttl_ns=message.ttl_ns,
        policy_hash=message.policy_hash,
        limit_price=limit_price,
        quantity=quantity,
        max_notional=read_amount(message.max_notional, "max_notional"),
        stop_price=read_amount(message.stop_price, "stop_price"),
        target_price=read_amount(message.target_price, "target_price"),
        setup_score=message.setup_score,
        volatility=message.volatility,
        timeframe_ns=message.timeframe_ns,
        hops=hops,
        evidence=dict(message.evidence),
    )


def decision_to_wire(decision: Decision) -> b.Decision:
    """Write a decision with all its guards."""
    return b.Decision(
        intent_id=decision.intent_id,
        phase_id=decision.phase_id,
        symbol=decision.symbol,
        side=enum_number(decision.side or 0),
        position_effect=enum_number(decision.position_effect),
        approved=decision.approved,
        reason=enum_number(decision.reason),
        message=decision.message,
        guards=[
            b.GuardResult(
                number=guard.number,
                name=guard.name,
                value=guard.value,
                limit=guard.limit,
                verdict=enum_number(guard.verdict),
                reason=enum_number(guard.reason),
                largest_notional="" if guard.largest_notional is None else format_decimal(guard.largest_notional),
            )
            for guard in decision.guards
        ],
        quantity=optional_decimal(decision.quantity),
        notional=optional_decimal(decision.notional),
        largest_notional=optional_decimal(decision.largest_notional),
        policy_hash=decision.policy_hash,
        term=decision.term,
        event_time_ns=decision.event_time_ns,
        market_time_ns=decision.market_time_ns,
        hops=hops_to_wire(decision.hops),
        setup=decision.setup,
        action=enum_number(decision.action or 0),
        reference_price=optional_decimal(decision.reference_price),
        stop_price=optional_decimal(decision.stop_price),
        target_price=optional_decimal(decision.target_price),
        setup_score=decision.setup_score,
        evidence=decision.evidence,
        explores=decision.explores,
        thinned="" if decision.thinned is None else format_decimal(decision.thinned),
        not_enforced=decision.not_enforced,
    )


def decision_from_wire(message: b.Decision) -> Decision:
    """Read a decision.

    Raises
    ------
    ValueError
        When a number or enumeration is not of the contract.
    """
    return Decision(
        intent_id=message.intent_id,
        phase_id=message.phase_id,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "side") if message.side else None,
        action=read_enum(Action, message.action, "action") if message.action else None,
        position_effect=read_enum(PositionEffect, message.position_effect, "position_effect"),
        approved=message.approved,
        reason=read_enum(Reason, message.reason, "reason"),
        message=message.message,
        guards=tuple(
            GuardResult(
                guard.number,
                guard.name,
                guard.value,
                guard.limit,
                read_enum(Verdict, guard.verdict, "verdict"),
                read_enum(Reason, guard.reason, "reason"),
                parse_decimal(guard.largest_notional, "largest_notional") if guard.largest_notional else None,
            )
            for guard in message.guards
        ),
        policy_hash=message.policy_hash,
        term=message.term,
        event_time_ns=message.event_time_ns,
        market_time_ns=message.market_time_ns,
        quantity=read_decimal(message.quantity, "quantity"),
        notional=read_decimal(message.notional, "notional"),
        largest_notional=read_decimal(message.largest_notional, "largest_notional"),
        reference_price=read_decimal(message.reference_price, "reference_price"),
        stop_price=read_decimal(message.stop_price, "stop_price"),
        target_price=read_decimal(message.target_price, "target_price"),
        setup=message.setup,
        setup_score=message.setup_score,
        hops=hops_from_wire(message.hops),
        evidence=dict(message.evidence),
        explores=message.explores,
        thinned=parse_decimal(message.thinned, "thinned") if message.thinned else None,
        not_enforced=tuple(message.not_enforced),
    )


def budget_to_wire(budget: Budget) -> b.Budget:
    """Write a budget."""
    return b.Budget(
        budget_id=budget.budget_id,
        phase_id=budget.phase_id,
        state=enum_number(budget.state),
        max_notional=format_decimal(budget.max_notional),
        max_leverage=format_decimal(budget.max_leverage),
        max_drawdown=format_decimal(budget.max_drawdown),
        orders_per_minute=budget.orders_per_minute,
        reason=budget.reason,
        expires_at_ns=budget.expires_at_ns,
        allocation=format_decimal(budget.allocation),
        weight=format_decimal(budget.weight),
        modifier=format_decimal(budget.modifier),
        modifier_reason=budget.modifier_reason,
    )


def budget_from_wire(message: b.Budget) -> Budget:
    """Read a budget.

    Raises
    ------
    ValueError
        When a number or enumeration is not of the contract.
    """
    return Budget(
        budget_id=message.budget_id,
        phase_id=message.phase_id,
        state=read_enum(BudgetState, message.state, "state"),
        max_notional=read_decimal(message.max_notional, "max_notional"),
        max_leverage=read_decimal(message.max_leverage, "max_leverage"),
        max_drawdown=read_decimal(message.max_drawdown, "max_drawdown"),
        orders_per_minute=message.orders_per_minute,
        reason=message.reason,
        expires_at_ns=message.expires_at_ns,
        allocation=read_decimal(message.allocation, "allocation"),
        weight=read_decimal(message.weight, "weight"),
        modifier=read_decimal(message.modifier, "modifier") if message.modifier else ONE,
        modifier_reason=message.modifier_reason,
    )


def posture_to_wire(state: PostureState) -> b.PostureState:
    """Write the posture with its sources."""
    return b.PostureState(
        in_force=enum_number(state.in_force),
        ceiling=enum_number(state.ceiling),
        latch=enum_number(state.latch),
        risk_level=enum_number(state.risk_level),
        reason=state.reason,
        by=state.by,
        policy_hash=state.policy_hash,
        term=state.term,
        latch_never_set=state.latch_never_set,
    )


def posture_from_wire(message: b.PostureState) -> PostureState:
    """Read the posture with its sources.

    Raises
    ------
    ValueError
        When an enumeration is not of the contract.
    """
    return PostureState(
        in_force=read_enum(Posture, message.in_force, "in_force"),
        ceiling=read_enum(Posture, message.ceiling, "ceiling"),
        latch=read_enum(Posture, message.latch, "latch"),
        risk_level=read_enum(RiskLevel, message.risk_level, "risk_level"),
        reason=message.reason,
        by=message.by,
        policy_hash=message.policy_hash,
        term=message.term,
        latch_never_set=message.latch_never_set,
    )


def hops_to_wire(hops: tuple[tuple[str, int], ...]) -> list[c.Hop]:
    """Write measured durations, in order."""
    return [c.Hop(name=name, duration_ns=duration) for name, duration in hops]


def hops_from_wire(hops: Iterable[c.Hop]) -> tuple[tuple[str, int], ...]:
    """Read measured durations, in order."""
    return tuple((hop.name, hop.duration_ns) for hop in hops)
