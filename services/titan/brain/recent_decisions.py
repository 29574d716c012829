"""The latest decisions in memory, encoded: an intent that is sent again gets the same answer."""

from __future__ import annotations

from collections import OrderedDict

from titan.risk.decisions import KEPT_DECISIONS
from titan.v1 import brain_pb2 as b


class RecentDecisions:
    """Decisions by intent id, oldest first. The encoded form takes a third of the memory of the records."""

    def __init__(self) -> None:
        self._encoded: OrderedDict[str, bytes] = OrderedDict()

    def __contains__(self, intent_id: str) -> bool:
        return intent_id in self._encoded

    def get(self, intent_id: str) -> b.Decision | None:
        """Return the decision of an intent, if it is at hand."""
        encoded = self._encoded.get(intent_id)
        return None if encoded is None else b.Decision.FromString(encoded)

    def add(self, decision: b.Decision) -> None:
        """Keep a decision; the oldest one makes room."""
        self._encoded[decision.intent_id] = decision.SerializeToString()
        if len(self._encoded) > KEPT_DECISIONS:
            self._encoded.popitem(last=False)

    def clear(self) -> None:
        """Forget all decisions."""
        self._encoded.clear()

    def newest(self) -> list[b.Decision]:
        """Return all decisions, newest first."""
        return [b.Decision.FromString(encoded) for encoded in reversed(self._encoded.values())]
