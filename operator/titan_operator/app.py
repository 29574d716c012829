"""The operator's process: kopf tells what changed, the engines reconcile; nothing else is decided here."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, ClassVar, NoReturn

import aiohttp
import kopf

from titan.runtime.http import Page
from titan.runtime.logs import Log
from titan.runtime.process import ServiceApp, run
from titan.runtime.settings import ProcessSettings
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, kopf_fields, load
from titan_operator.cluster.events import Events
from titan_operator.cluster.kinds import KINDS, Kind
from titan_operator.cluster.lease import OperatorLease
from titan_operator.cluster.watches import WatchSupervisor, WatchTracker
from titan_operator.engine import Parts, StackEngine
from titan_operator.gather import Verifier
from titan_operator.names import LABEL_MANAGED_BY, OPERATOR
from titan_operator.operator_metrics import OperatorMetrics
from titan_operator.published import PublishedImages
from titan_operator.settings import OperatorSettings
from titan_operator.world import Verdict

RESOURCES = ("RiskPolicy", "TitanPhase")
# What the operator makes and wakes for; the rest of what it makes is looked at by each resync.
CHILDREN = ("Deployment", "StatefulSet", "Pod", "ConfigMap", "Service")


class NoVerifier:
    """What this version ships: it has no verifier yet, so no image passes."""

    async def verify(self, image: str) -> Verdict:
        """Refuse."""
        return Verdict(False, reason="NoVerifier", message="this version of the operator cannot verify signatures yet")


class OperatorApp(ServiceApp[OperatorSettings]):
    """The composition root of the operator."""

    SETTINGS: ClassVar[type[ProcessSettings]] = OperatorSettings
    # Replaced by what tests start, and by nothing that is shipped.
    verifier: ClassVar[Verifier] = NoVerifier()

    def __init__(self, settings: OperatorSettings) -> None:
        super().__init__(settings)
        self._measures = OperatorMetrics(self.metrics)
        self._connection: Connection = load()
        self._cluster = Cluster(self._connection, observe=self._measures.called)
        self._watches = WatchTracker()
        self._engines: dict[str, StackEngine] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        holder = f"{settings.pod_name}_{settings.pod_uid}" if settings.pod_uid else settings.pod_name
        self._lease = OperatorLease(
            self._cluster, settings.operator_namespace, OPERATOR, holder, lease_s=settings.lease_s, log=self.log
        )
        self._supervisor = WatchSupervisor(self._watch, log=self.log, restarted=self._measures.watch_restarted)

    async def start(self) -> None:
        """Start the Lease, the engines and the watches."""
        await self._cluster.__aenter__()
        self._session = aiohttp.ClientSession()
        settings = self.settings
        parts = Parts(
            cluster=self._cluster,
            verifier=self.verifier,
            published=PublishedImages(self._cluster, lambda: datetime.now(UTC)),
            events=Events(self._cluster, log=self.log, failed=self._measures.event_failed, instance=settings.pod_name),
            lease=self._lease,
            watches=self._watches,
            metrics=self._measures,
            http=self._session,
            settings=settings,
            version=version("titan"),
            log=self.log,
        )
        self._engines = {name: StackEngine(name, parts) for name in settings.namespaces}
        self._spawn("lease", self._lead())
        for name, engine in self._engines.items():
            self._spawn(f"engine {name}", engine.run())
        self._spawn("watches", self._supervisor.run())

    def _spawn(self, what: str, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=what)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled():
                self.fail(f"{what} ended: {done.exception()!r}")

        task.add_done_callback(ended)
        self._tasks.append(task)

    async def _lead(self) -> None:
        led = False
        async for mine in self._lease.hold():
            self._measures.leads(mine)
            if mine and not led:
                for engine in self._engines.values():
                    engine.wake()
            led = mine

    async def stop(self) -> None:
        """Stop, give the Lease back, close connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._engines:
            await self._lease.release()
        for engine in self._engines.values():
            await engine.close()
        if self._session is not None:
            await self._session.close()
        await self._cluster.__aexit__(None, None, None)

    async def _watch(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Run kopf until it ends; it wakes the engines and does nothing else."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for name in RESOURCES:
            self._on_event(registry, KINDS[name], resource=True, labels=None)
        for name in CHILDREN:
            self._on_event(registry, KINDS[name], resource=False, labels={LABEL_MANAGED_BY: OPERATOR})
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.process.ultimate_exiting_timeout = None
        settings.networking.connect_timeout = 5
        settings.watching.server_timeout = 300
        await kopf.operator(
            registry=registry,
            settings=settings,
            standalone=True,
            namespaces=self.settings.namespaces,
            stop_flag=stop,
            ready_flag=ready,
        )

    def _on_event(
        self, registry: kopf.OperatorRegistry, kind: Kind, *, resource: bool, labels: dict[str, str] | None
    ) -> None:
        def changed(event: kopf.RawEvent, **_: Any) -> None:
            metadata = event["object"]["metadata"]
            namespace = metadata["namespace"]
            if resource:
                known = None if event["type"] == "DELETED" else metadata["resourceVersion"]
                self._watches.seen(kind.name, namespace, f"{namespace}/{metadata['name']}", known, time.monotonic())
            engine = self._engines.get(namespace)
            if engine is not None:
                engine.wake()

        group, _, api_version = kind.group_version.rpartition("/")
        kopf.on.event(group, api_version, kind.plural, registry=registry, labels=labels, id=f"wake-{kind.plural}")(
            changed
        )

    def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**kopf_fields(self._connection))

    def not_ready(self) -> list[str]:
        """Why it does not do its work."""
        reasons = [f"namespace {name}: {engine.failure}" for name, engine in self._engines.items() if engine.failure]
        if not self._supervisor.running:
            reasons.append("the watches are not running")
        reasons += self._watches.overdue(time.monotonic())
        return reasons

    def status(self) -> dict[str, object]:
        """What ``/status`` shows."""
        return {
            "role": self.settings.role,
            "version": version("titan"),
            "leader": self._lease.still_mine(),
            "namespaces": {name: engine.failure or "ok" for name, engine in self._engines.items()},
        }

    def pages(self) -> dict[str, Any]:
        """``/healthz`` for the kubelet (it restarts what does not answer), ``/readyz`` for people and Services."""
        return super().pages() | {"/healthz": self._alive, "/readyz": self._ready}

    def _alive(self) -> Page:
        return HTTPStatus.OK, "application/json", b'{"status": "ok"}\n'

    def _ready(self) -> Page:
        reasons = self.not_ready()
        self._measures.queued(sum(1 for engine in self._engines.values() if engine.waiting))
        body = json.dumps({"status": "not ready" if reasons else "ok", "reasons": reasons}).encode() + b"\n"
        return HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK, "application/json", body


class _ToOurLog(logging.Handler):
    """kopf logs by the standard library; its lines become lines like ours."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        method = self._log.warning if record.levelno >= logging.WARNING else self._log.debug
        method("kopf", message=record.getMessage(), logger=record.name)


def main() -> NoReturn:
    """Run the operator."""
    run(OperatorApp)
