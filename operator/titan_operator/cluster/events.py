"""Kubernetes Events about TitanPhases and RiskPolicies, as ``kubectl describe`` shows them.

An Event is no state: one that cannot be written is logged and counted, and the pass continues.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from titan.runtime.telemetry.logs import Log
from titan_operator.api.names import GROUP, OPERATOR
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.errors import ApiError, ClusterError
from titan_operator.cluster.event_types import EventType
from titan_operator.cluster.resource_kinds import EVENT

_SAME_WITHIN_S = 600.0
_UPDATE_EVERY_S = 60.0
_WRITE_WITHIN_S = 5.0
_REMEMBERED = 512
# The API's own limits.
_NOTE_CHARS = 1024
_WORD_CHARS = 128


@dataclass
class _Series:
    """One Event as written, and the number of its occurrences. Times are of this process's clock, in seconds."""

    name: str
    count: int
    last_s: float
    written_s: float


class Events:
    """Writes Events; one that repeats within :data:`_SAME_WITHIN_S` becomes a series.

    Parameters
    ----------
    instance
        The reporting instance: the operator's pod.
    failed
        Called for each Event that could not be written, with its reason.
    clock_s
        Monotonic seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        log: Log,
        failed: Callable[[str], None] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._log = log
        self._failed = failed or (lambda _reason: None)
        self._clock_s = clock_s
        self._known: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()

    async def record(
        self, regarding: Mapping[str, Any], event_type: EventType, reason: str, action: str, note: str
    ) -> None:
        """Record an Event about an object; an error of the API server is logged and never raised.

        Parameters
        ----------
        regarding
            The object, with ``apiVersion``, ``kind`` and ``metadata``.
        reason
            Enumerated reason, in CamelCase.
        action
            Action that was taken or refused, in CamelCase.
        note
            Text for a person; cut at the length that the API allows.
        """
        metadata = regarding["metadata"]
        key = (str(metadata["uid"]), reason, note)
        now_s = self._clock_s()
        known = self._known.get(key)
        if known is not None and now_s - known.last_s > _SAME_WITHIN_S:
            known = None
        try:
            async with asyncio.timeout(_WRITE_WITHIN_S):
                if known is None or not await self._update_series(known, str(metadata["namespace"]), now_s):
                    name = f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}"
                    await self._cluster.create(EVENT, self._event(name, regarding, event_type, reason, action, note))
                    self._known[key] = _Series(name, 1, now_s, now_s)
        except (ClusterError, TimeoutError) as error:
            self._failed(reason)
            self._log.warning(
                "an Event could not be written", object=metadata["name"], reason=reason, note=note, error=str(error)
            )
        if key in self._known:
            self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _update_series(self, known: _Series, namespace: str, now_s: float) -> bool:
        """Count one more occurrence; return False if the API server has deleted the Event, as it does after an hour."""
        known.count, known.last_s = known.count + 1, now_s
        if now_s - known.written_s < _UPDATE_EVERY_S:
            return True
        # Set before the write: a failing API server must not get more requests.
        known.written_s = now_s
        series = {"count": known.count, "lastObservedTime": _now()}
        try:
            await self._cluster.patch_merge(EVENT, known.name, namespace, {"series": series})
        except ApiError as error:
            if not error.not_found:
                raise
            return False
        return True

    def _event(
        self,
        name: str,
        regarding: Mapping[str, Any],
        event_type: EventType,
        reason: str,
        action: str,
        note: str,
    ) -> dict[str, Any]:
        metadata = regarding["metadata"]
        return {
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": _now(),
            "type": event_type.value,
            "reason": reason[:_WORD_CHARS],
            "action": action[:_WORD_CHARS],
            "note": note if len(note) <= _NOTE_CHARS else note[: _NOTE_CHARS - 1] + "…",
            "reportingController": f"{GROUP}/{OPERATOR}",
            "reportingInstance": self._instance[:_WORD_CHARS],
            "regarding": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
