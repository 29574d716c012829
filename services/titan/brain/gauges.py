"""Brain's gauges, read from a snapshot at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from titan.brain.snapshot import BrainSnapshot


class BrainGauges(Collector):
    """Posture, risk level, equity, exposure and unsaved decisions. An unknown value is absent, never 0."""

    def __init__(self, take: Callable[[], BrainSnapshot]) -> None:
        self._take = take

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge at this moment."""
        snapshot = self._take()
        posture = snapshot.posture
        yield _gauge("titan_brain_posture", "Posture in force: 1 FLATTEN to 4 ARMED.", posture.in_force)
        yield _gauge("titan_brain_risk_level", "Risk level: 1 NORMAL to 4 EMERGENCY.", posture.risk_level)
        yield _gauge(
            "titan_brain_execution_connected",
            "1 while Execution is connected and its account is known.",
            snapshot.execution_connected,
        )
        yield _gauge(
            "titan_brain_orders_unanswered",
            "Orders that Execution has neither accepted nor refused.",
            snapshot.unanswered,
        )
        yield _gauge(
            "titan_brain_decisions_unsaved", "Decisions that are not in the table.", snapshot.decisions_unsaved
        )
        yield _gauge(
            "titan_brain_gross_notional", "Gross exposure with reservations, USDT.", float(snapshot.gross_notional)
        )
        yield _gauge("titan_brain_worst_case", "Reserved worst case, USDT.", float(snapshot.worst_case))
        equity = snapshot.equity
        if equity.known:
            yield _gauge("titan_brain_equity", "Equity, USDT.", float(equity.equity))
            yield _gauge("titan_brain_drawdown_ratio", "Drawdown, peak to now.", float(equity.drawdown))
        if snapshot.truth.known:
            yield _gauge("titan_brain_truth_score", "Truth score, 0 to 100.", snapshot.truth.score)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))
