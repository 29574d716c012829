"""A record of all pods of a namespace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from support.cluster.object_events import events
from titan_operator.api.names import LABEL_COMPONENT
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.resource_kinds import KINDS


@dataclass
class PodWatch:
    """Run it beside a test.

    Attributes
    ----------
    most
        The most Executions that were there at once.
    images
        Of all containers, init containers included, of all pods that ever were.
    replicas
        What any StatefulSet was ever asked for.
    """

    admin: Cluster
    namespace: str
    most: int = 0
    images: set[str] = field(default_factory=set)
    replicas: set[int] = field(default_factory=set)
    _alive: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Watch until canceled; what happens while the API server is away is seen by the list after it."""
        await asyncio.gather(self._follow("Pod"), self._follow("StatefulSet"))

    async def _follow(self, name: str) -> None:
        async for event in events(self.admin, KINDS[name], self.namespace):
            if event is not None:
                self._see(name, *event)
            elif name == "Pod":
                self._alive.clear()

    def _see(self, name: str, event: str, item: dict[str, Any]) -> None:
        if name == "StatefulSet":
            self.replicas.add(item["spec"]["replicas"])
            return
        spec = item["spec"]
        self.images |= {one["image"] for one in (*spec["containers"], *spec.get("initContainers", ()))}
        if item["metadata"]["labels"].get(LABEL_COMPONENT) == "execution":
            change = self._alive.discard if event == "DELETED" else self._alive.add
            change(item["metadata"]["uid"])
            self.most = max(self.most, len(self._alive))
