"""Brain's numbers that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from titan.brain.app import BrainApp


class BrainGauges(Collector):
    """Posture, risk level, equity and what is not saved. What is unknown is absent, never 0."""

    def __init__(self, app: BrainApp) -> None:
        self._app = app

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge at this moment."""
        app = self._app
        posture = app.governor.state
        yield _gauge("titan_brain_posture", "Posture in force: 1 FLATTEN to 4 ARMED.", posture.in_force)
        yield _gauge("titan_brain_risk_level", "Risk level: 1 NORMAL to 4 EMERGENCY.", posture.risk_level)
        yield _gauge(
            "titan_brain_execution_connected", "Whether Execution has told its account.", app.execution.connected
        )
        yield _gauge(
            "titan_brain_orders_unanswered", "Orders that Execution has not spoken of.", len(app.execution.pending)
        )
        unsaved = app.store.unsaved + app.store.dropped
        yield _gauge("titan_brain_decisions_unsaved", "Decisions that are not in the table.", unsaved)
        yield _gauge(
            "titan_brain_gross_notional",
            "Gross exposure with reservations, USDT.",
            float(app.risk_state.gross_notional),
        )
        yield _gauge("titan_brain_worst_case", "Reserved worst case, USDT.", float(app.risk_state.worst_case))
        equity = app.risk_state.equity
        if equity.known:
            yield _gauge("titan_brain_equity", "Equity, USDT.", float(equity.equity))
            yield _gauge("titan_brain_drawdown_ratio", "Drawdown, peak to now.", float(equity.drawdown))
        if app.risk_state.truth.known:
            yield _gauge("titan_brain_truth_score", "Truth score, 0 to 100.", app.risk_state.truth.score)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))
