"""The strategy's own counts as metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from titan.strategies.base import Strategy


class StrategyCounts(Collector):
    """``titan_phase_strategy_total{what, reason}``: trips, confirmations, aborts by reason, drafts by setup."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield all counts."""
        family = CounterMetricFamily(
            "titan_phase_strategy", "Observations and actions of the strategy, by reason.", labels=["what", "reason"]
        )
        for (what, reason), count in self._strategy.counters.items():
            family.add_metric([what, reason], count)
        yield family
