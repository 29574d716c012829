"""Metrics of one process, in a registry of its own, so that two processes can live in one test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Seconds. From a guard's microseconds to a slow disk's second.
LATENCY_BUCKETS = tuple(
    microseconds / 1e6
    for microseconds in (
        20,
        50,
        100,
        200,
        300,
        500,
        750,
        1000,
        1500,
        2500,
        5000,
        10_000,
        25_000,
        50_000,
        100_000,
        500_000,
    )
)

_Kind = TypeVar("_Kind", Counter, Gauge)


class Metrics:
    """Makes metrics once, by name; names begin with ``titan_`` and end in their unit."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only rises. ``_total`` is appended by the exposition."""
        return self._make(Counter, name, documentation, labels)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes both ways."""
        return self._make(Gauge, name, documentation, labels)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        """A distribution, in seconds unless the name has another unit."""
        known = self._known.get(name)
        if known is None:
            known = Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)
            self._known[name] = known
        if not isinstance(known, Histogram):
            raise TypeError(f"metric {name} exists and is no histogram")
        return known

    def _make(self, kind: type[_Kind], name: str, documentation: str, labels: Sequence[str]) -> _Kind:
        known = self._known.get(name)
        if known is None:
            known = kind(name, documentation, labels, registry=self.registry)
            self._known[name] = known
        if not isinstance(known, kind):
            raise TypeError(f"metric {name} exists and is no {kind.__name__.lower()}")
        return known

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
