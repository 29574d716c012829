"""The table of guards, in the order in which they run. Source: domain.md section 3.

Guard 12 (regime) needs a source that does not exist yet. It is absent, not passing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from titan.risk.evaluation import Evaluation, Outcome
from titan.risk.guards import checks, market, sizing


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
    Guard(9, "volatility", market.volatility),
    Guard(10, "latency", market.latency),
    Guard(11, "quality", market.quality),
    Guard(13, "tail", market.tail),
    Guard(14, "correlation", market.correlation),
    Guard(15, "notionals", sizing.notionals),
    Guard(16, "leverage", sizing.leverage),
    Guard(17, "losses", sizing.losses),
    Guard(18, "entry_orders", checks.entry_orders),
    Guard(19, "opposition", checks.opposition),
    Guard(20, "thinning", market.thinning),
)
