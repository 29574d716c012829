"""The preconditions of a rebase: a person sets the peak of a flat, disarmed account to its present worth.

A flat account's drawdown does not shrink, so after an EMERGENCY by drawdown nothing else unlocks it.
Source: domain.md section 4.
"""

from __future__ import annotations

import msgspec

from titan.domain.enums import Posture
from titan.domain.equity import Equity


class RebaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebase depends on. ``open_positions`` counts those that the venue would let us close."""

    latch: Posture
    reconciled: bool
    equity: Equity
    open_positions: int
    working_orders: int


def rebase_problems(facts: RebaseFacts) -> list[str]:
    """List every precondition of a rebase that does not hold, each as a sentence."""
    problems = []
    if facts.latch is Posture.ARMED:
        problems.append("latch: ARMED; a rebase needs a lower one, so halt or flatten first")
    if not facts.reconciled:
        problems.append("orders and account: not reconciled with the venue yet")
    if facts.open_positions:
        problems.append(f"open positions: {facts.open_positions}; a rebase needs a flat account")
    if facts.working_orders:
        problems.append(f"working orders: {facts.working_orders}; a rebase needs none")
    if not facts.equity.known:
        problems.append(f"equity: unknown ({facts.equity.reason or 'not valued yet'}); a rebase needs it known")
    return problems
