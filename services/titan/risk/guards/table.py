"""The table of guards, in the order in which they run. Source: domain.md section 3.

Guards 9 to 14 (volatility, latency, execution quality, regime, tail, correlation) need sources that do not exist yet.
They are absent, not passing. Each gets its row here and its function in ``market.py`` or ``regime.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from titan.risk.evaluation import Evaluation, Outcome
from titan.risk.guards import checks, sizing


class Guard(NamedTuple):
    """One row of the table; ``check`` is pure."""

    number: int
    name: str
    check: Callable[[Evaluation], Outcome]


GUARDS: tuple[Guard, ...] = (
    Guard(0, "lane", checks.position_effect),
    Guard(1, "intent", checks.intent_valid),
    Guard(2, "posture", checks.posture),
    Guard(3, "budget", checks.budget),
    Guard(4, "symbol", checks.symbol),
    Guard(5, "price_age", checks.price_age),
    Guard(6, "truth", checks.truth),
    Guard(7, "score", checks.score),
    Guard(8, "edge", sizing.edge),
    Guard(15, "notionals", sizing.notionals),
    Guard(16, "leverage", sizing.leverage),
    Guard(17, "losses", sizing.losses),
    Guard(18, "entry_orders", checks.entry_orders),
    Guard(19, "opposition", checks.opposition),
)
