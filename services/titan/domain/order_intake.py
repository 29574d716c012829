"""The checks between an order that Brain requests and the fact that Execution journals. Pure.

The process and a backtest compose the same rules: they decode the request, ask :class:`OrderIntakeRules`, and write
the fact that it returns.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.account import Account
from titan.domain.enums import OrderType, PositionEffect, Side, TimeInForce
from titan.domain.instruments import Instrument
from titan.domain.journal_records import Intake, Refusal
from titan.domain.marks import Mark, Marks
from titan.domain.numbers import ONE, ZERO, ceil_to, floor_to
from titan.domain.orders import Order
from titan.domain.policy import mode_problem
from titan.domain.policy_hash import Policy
from titan.domain.policy_rules import Mode
from titan.domain.position_effect import Reducible, reducible_in
from titan.domain.posture import PostureInputs
from titan.domain.reasons import Reason, Rejection
from titan.domain.time import NS_PER_MS

# Refusals that depend on the moment or on the Brain that asks: a repeated request may get another answer.
_NOT_KEPT = frozenset({Reason.STALE_TERM, Reason.JOURNAL_UNAVAILABLE, Reason.SHUTTING_DOWN})


class IntakeState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything outside the account that decides on an order, at one moment.

    ``now_ns`` is market time. ``brain_policy_hash`` is empty until Brain has reported it. ``journal_problem`` says why
    nothing can be written, ``space_problem`` why no space could be reserved; both are empty when there is none.
    """

    now_ns: int
    posture: PostureInputs
    brain_policy_hash: str = ""
    reconciled: bool = True
    venue_connected: bool = True
    lease_covers: bool = True
    journal_problem: str = ""
    space_problem: str = ""


def stale_term(term: int, highest_term: int) -> Rejection:
    """Make the rejection of a Brain that is not of the highest term seen."""
    return Rejection.of(Reason.STALE_TERM, f"term={term}, the highest Brain seen has {highest_term}")


def first_result(account: Account, intent_id: str, attempt: int) -> Order | Refusal | None:
    """The result of an earlier request for the same intent and attempt, or None."""
    first = account.first_results.get((intent_id, attempt))
    return account.orders[first] if isinstance(first, str) else first


def is_kept(reason: Reason) -> bool:
    """Whether a refusal is journalled, so that a repeated request gets the same answer."""
    return reason not in _NOT_KEPT


class OrderIntakeRules:
    """Execution's own checks of Brain's orders, over the account and marks that it is given.

    Parameters
    ----------
    mode
        The mode in which the process trades; the policy must allow it for an order that opens.
    """

    def __init__(self, policy: Policy, mode: Mode, account: Account, marks: Marks) -> None:
        self._policy = policy
        self._mode_problem = mode_problem(policy.rules, mode)
        self._account = account
        self._marks = marks

    def check(self, requested: Intake, state: IntakeState) -> Intake | Rejection:
        """Return the fact to journal, with Execution's own position effect, or the first rejection."""
        instrument = self._account.instruments.get(requested.symbol)
        if instrument is None:
            return Rejection.of(Reason.UNKNOWN_SYMBOL, f"{requested.symbol!r}")
        fits = reducible_in(self._account, requested.phase_id, requested.symbol, requested.side)
        position_effect = fits.effect(requested.quantity)
        intake = (
            requested
            if requested.position_effect is position_effect
            else msgspec.structs.replace(requested, position_effect=position_effect)
        )
        mark = self._marks.get(requested.symbol)
        if position_effect is PositionEffect.OPENING:
            if problem := self._opening_problem(intake, requested.position_effect, fits, mark, state):
                return problem
            if mark is not None:
                intake = within_band(intake, mark.price, self._policy.rules.max_slippage, instrument.tick_size)
        return _size_problem(intake, instrument, mark) or _path_problem(state) or intake

    def _opening_problem(
        self, intake: Intake, requested: PositionEffect, fits: Reducible, mark: Mark | None, state: IntakeState
    ) -> Rejection | None:
        """The reason for which an order that opens is refused. An order that reduces meets none of these checks."""
        if problem := self._hash_problem(intake, state):
            return problem
        if requested is PositionEffect.REDUCING:
            return Rejection.of(
                Reason.NOT_REDUCING,
                f"side={intake.side.name}, quantity={intake.quantity}, can be reduced={fits.quantity}",
            )
        if refused := state.posture.opening_refusal():
            return refused
        if not state.reconciled:
            return Rejection.of(Reason.TRUTH_UNKNOWN, "reconciliation with the venue is not finished")
        if self._mode_problem:
            return Rejection.of(Reason.MODE_NOT_ALLOWED, self._mode_problem)
        rules = self._policy.rules
        if intake.symbol not in rules.symbols:
            return Rejection.of(Reason.SYMBOL_NOT_ALLOWED, f"{intake.symbol}, allowed={', '.join(rules.symbols)}")
        if intake.stop_price <= ZERO:
            return Rejection.of(Reason.STOP_MISSING, "an opening order needs stop_price")
        if problem := _price_problem(intake, mark, rules.max_price_age_ms, state.now_ns):
            return problem
        if state.space_problem:
            # The reserved space is left to orders that reduce.
            return Rejection.of(Reason.JOURNAL_UNAVAILABLE, state.space_problem)
        return None

    def _hash_problem(self, intake: Intake, state: IntakeState) -> Rejection | None:
        own_hash = self._policy.hash
        if intake.policy_hash != own_hash:
            return Rejection.of(
                Reason.POLICY_HASH_MISMATCH, f"order={intake.policy_hash or 'none'}, execution={own_hash}"
            )
        if state.brain_policy_hash and state.brain_policy_hash != own_hash:
            return Rejection.of(Reason.POLICY_HASH_MISMATCH, f"brain={state.brain_policy_hash}, execution={own_hash}")
        return None


def within_band(intake: Intake, mark_price: Decimal, max_slippage: Decimal, tick_size: Decimal) -> Intake:
    """Return the opening order with a limit that is at most ``max_slippage`` beyond the mark.

    A market order becomes a limit order that takes what the band holds, and cancels the rest. An order that rests or
    asks for less keeps its own limit. Orders that reduce have no band: they must always get out.
    """
    if intake.time_in_force is TimeInForce.POST_ONLY:
        return intake
    buys = intake.side is Side.BUY
    furthest = mark_price * (ONE + max_slippage if buys else ONE - max_slippage)
    band = floor_to(furthest, tick_size) if buys else ceil_to(furthest, tick_size)
    if intake.order_type is OrderType.MARKET:
        return msgspec.structs.replace(
            intake, order_type=OrderType.LIMIT, time_in_force=TimeInForce.IOC, limit_price=band
        )
    if (intake.limit_price > band) if buys else (intake.limit_price < band):
        return msgspec.structs.replace(intake, limit_price=band)
    return intake


def _price_problem(intake: Intake, mark: Mark | None, max_age_ms: int, now_ns: int) -> Rejection | None:
    if mark is None:
        return Rejection.of(Reason.PRICE_STALE, f"no price of {intake.symbol} yet")
    age_ms = (now_ns - mark.market_time_ns) // NS_PER_MS
    if age_ms > max_age_ms:
        return Rejection.of(Reason.PRICE_STALE, f"max_ms={max_age_ms}, age_ms={age_ms}")
    if (mark.price - intake.stop_price) * intake.side.sign <= ZERO:
        side = "below" if intake.side is Side.BUY else "above"
        return Rejection.of(
            Reason.INVALID_INTENT, f"stop_price={intake.stop_price}, allowed is {side} the price {mark.price}"
        )
    if intake.ttl_ns and now_ns > intake.event_time_ns + intake.ttl_ns:
        late_ms = (now_ns - intake.event_time_ns) // NS_PER_MS
        return Rejection.of(Reason.EXPIRED, f"ttl_ms={intake.ttl_ns // NS_PER_MS}, age_ms={late_ms}")
    return None


def _size_problem(intake: Intake, instrument: Instrument, mark: Mark | None) -> Rejection | None:
    limit = intake.limit_price if intake.limit_price > ZERO else None
    refused = instrument.refusal(intake.quantity, limit, mark.price if mark is not None else ZERO)
    if refused is None:
        return None
    reason, message = refused
    small = reason is Reason.BELOW_MINIMUM and intake.quantity >= instrument.min_quantity
    if small and intake.position_effect is PositionEffect.REDUCING:
        # A reducing order may be below the smallest notional: the position could not be closed otherwise.
        return None
    return Rejection.of(reason, message)


def _path_problem(state: IntakeState) -> Rejection | None:
    """The reason for which no order at all can go its way to the venue."""
    if not state.venue_connected:
        return Rejection.of(Reason.VENUE_ERROR, "no stream to the venue")
    if not state.lease_covers:
        return Rejection.of(Reason.LEASE_LOST, "the lease does not cover the receive window")
    if state.journal_problem:
        return Rejection.of(Reason.JOURNAL_UNAVAILABLE, state.journal_problem)
    return None
