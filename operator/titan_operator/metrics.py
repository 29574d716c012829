"""The operator's metrics: one table."""

from __future__ import annotations

from titan.runtime.telemetry.metrics import Metrics

RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class OperatorMetrics:
    """Names, documentation and labels of all metrics of the operator."""

    def __init__(self, metrics: Metrics) -> None:
        self._durations = metrics.histogram(
            "titan_operator_reconcile_seconds", "Duration of one pass over a stack.", ["namespace"], RECONCILE_BUCKETS
        )
        self._failures = metrics.counter(
            "titan_operator_reconcile_failures", "Passes that ended with an error and are tried again.", ["namespace"]
        )
        self._refusals = metrics.counter(
            "titan_operator_refusals",
            "Gates and checks that did not hold, a count for each pass.",
            ["namespace", "gate"],
        )
        self._calls = metrics.histogram(
            "titan_operator_api_calls_seconds", "Calls to the API server.", ["verb", "kind", "code"], RECONCILE_BUCKETS
        )
        self._queue = metrics.gauge("titan_operator_queue", "Stacks that wait for a pass.")
        self._watch_age = metrics.gauge(
            "titan_operator_watch_age_seconds",
            "How long a watch has not delivered what a read found; 0 is in step.",
            ["kind"],
        )
        self._watch_starts = metrics.counter("titan_operator_watch_starts", "Times that the watches were started.")
        self._events = metrics.counter("titan_operator_event_failures", "Events that could not be written.", ["reason"])
        self._leader = metrics.gauge("titan_operator_leader", "1 while this process holds the Lease.")

    def observe_pass(self, namespace: str, seconds: float) -> None:
        """Record the duration of one pass."""
        self._durations.labels(namespace).observe(seconds)

    def count_failure(self, namespace: str) -> None:
        """Count a pass that ended with an error."""
        self._failures.labels(namespace).inc()

    def count_refusal(self, namespace: str, gate: str) -> None:
        """Count a gate or check that did not hold."""
        self._refusals.labels(namespace, gate).inc()

    def observe_call(self, verb: str, kind: str, code: int, seconds: float) -> None:
        """Record one call to the API server; ``code`` is the HTTP status, 0 where there was no answer."""
        self._calls.labels(verb, kind, str(code)).observe(seconds)

    def set_queue(self, stacks: int) -> None:
        """Set the number of stacks that wait for a pass."""
        self._queue.set(stacks)

    def set_watch_age(self, kind: str, seconds: float) -> None:
        """Set how far a watch is behind, in seconds."""
        self._watch_age.labels(kind).set(seconds)

    def count_watch_start(self) -> None:
        """Count a start of the watches, the first one or a restart."""
        self._watch_starts.inc()

    def count_event_failure(self, reason: str) -> None:
        """Count an Event that could not be written."""
        self._events.labels(reason).inc()

    def set_leader(self, leader: bool) -> None:
        """Set whether this process holds the Lease."""
        self._leader.set(1 if leader else 0)
