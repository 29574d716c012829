"""Brain's answer to an intent, with the ordered guards that explain it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import Action, PositionEffect, Side, Verdict
from titan.domain.numbers import ZERO
from titan.domain.reasons import Reason


class GuardResult(msgspec.Struct, frozen=True, gc=False):
    """One guard's line in the explain record.

    ``value`` and ``limit`` are written for people, with their units; ``largest_notional`` is in quote units, None
    where size does not matter to this guard.
    """

    number: int
    name: str
    value: str
    limit: str
    verdict: Verdict
    reason: Reason
    largest_notional: Decimal | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Brain's decision on one intent, with its reasons.

    ``quantity`` in base units, ``notional`` and ``largest_notional`` (the size that would have passed) in quote
    units, 0 where there is none; ``event_time_ns`` and ``market_time_ns`` (of the decision) on the market clock.
    ``explores`` marks one lot of a setup that guard 8 would refuse; ``thinned`` is the accumulator of guard 20 after
    this setup, None where it did not act; ``not_enforced`` names the policy's rules that nothing enforces.
    """

    intent_id: str
    phase_id: str
    symbol: str
    side: Side | None
    action: Action | None
    position_effect: PositionEffect
    approved: bool
    reason: Reason
    message: str
    guards: tuple[GuardResult, ...]
    policy_hash: str
    term: int
    event_time_ns: int
    market_time_ns: int
    quantity: Decimal = ZERO
    notional: Decimal = ZERO
    largest_notional: Decimal = ZERO
    reference_price: Decimal = ZERO
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    setup: str = ""
    setup_score: float = 0.0
    hops: tuple[tuple[str, int], ...] = ()
    evidence: dict[str, str] = {}
    explores: bool = False
    thinned: Decimal | None = None
    not_enforced: tuple[str, ...] = ()
