"""Composition root of the operator's process. kopf reports changes, the controllers reconcile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import aiohttp

from titan.runtime.http import Page
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.settings import ProcessSettings
from titan_operator.admission.image_checks import ImageChecker, Verifier
from titan_operator.admission.store import VerifiedImagesStore
from titan_operator.api.names import LABEL_MANAGED_BY, OPERATOR
from titan_operator.cluster.client import Cluster, Object
from titan_operator.cluster.credentials import Connection, load
from titan_operator.cluster.errors import ClusterError, CredentialsError
from titan_operator.cluster.events import Events
from titan_operator.cluster.lease import Holder, OperatorLease
from titan_operator.cluster.receiver import kopf_receiver
from titan_operator.cluster.resource_kinds import KINDS, Kind
from titan_operator.cluster.standard_logs import bridge_standard_logging
from titan_operator.cluster.supervisor import Supervisor
from titan_operator.cluster.watches import WatchTracker
from titan_operator.controller.context import Connect, Context
from titan_operator.controller.controller import StackController
from titan_operator.metrics import OperatorMetrics
from titan_operator.settings import OperatorSettings
from titan_operator.stack.client import StackClient
from titan_operator.supplychain.mounted_verifier import MountedVerifier, cosign_verifier, registry_session
from titan_operator.supplychain.registry.credential_files import CredentialFiles
from titan_operator.supplychain.trust_file import TrustFile
from titan_operator.tracing import start_tracing

_MINE = f"{LABEL_MANAGED_BY}={OPERATOR}"
# Kinds whose changes wake a controller, each with the labels of its watch. Other kinds are read by each resync.
WATCHED = {
    "RiskPolicy": "",
    "TitanPhase": "",
    "Deployment": _MINE,
    "StatefulSet": _MINE,
    "ConfigMap": _MINE,
    "Service": _MINE,
    "Pod": _MINE,
}
# A watch that lacks a change which a read has found is restarted after this time.
OVERDUE_S = 10.0
# Interval of checks for another mounted trust policy or other mounted credentials.
TRUST_S = 1.0


class OperatorApp(ServiceApp[OperatorSettings]):
    """The composition root of the operator."""

    SETTINGS: ClassVar[type[ProcessSettings]] = OperatorSettings
    # Replaced by programs of the tests only.
    connect: ClassVar[Connect] = StackClient

    def __init__(self, settings: OperatorSettings) -> None:
        super().__init__(settings)
        self._operator_metrics = OperatorMetrics(self.metrics)
        self._watches = WatchTracker(OVERDUE_S)
        self._controllers: dict[str, StackController] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._cluster: Cluster | None = None
        self._verifier: Verifier | None = None
        self._session: aiohttp.ClientSession | None = None
        self._registries: aiohttp.ClientSession | None = None
        self._lease: OperatorLease | None = None
        self._supervisor: Supervisor | None = None
        self._end_tracing: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start the Lease, the controllers and the watches."""
        settings = self.settings
        bridge_standard_logging(self.log)
        self._end_tracing = start_tracing(version("titan"))
        try:
            connection: Connection = load()
        except CredentialsError as error:
            raise StartError(str(error)) from error
        self._cluster = await Cluster(connection, observe=self._operator_metrics.observe_call).__aenter__()
        self._session = aiohttp.ClientSession()
        self._registries = registry_session()
        self._lease = OperatorLease(
            self._cluster,
            namespace=settings.operator_namespace,
            name=OPERATOR,
            holder=Holder(settings.pod_name, settings.pod_uid),
            duration_s=settings.lease_s,
            log=self.log,
            changed=self._set_leader,
        )
        self._verifier = self.verifier()
        store = VerifiedImagesStore(self._cluster, settings.namespaces, lambda: datetime.now(UTC))
        parts = Context(
            cluster=self._cluster,
            image_checker=ImageChecker(self._verifier, store, time.monotonic),
            events=Events(
                self._cluster,
                log=self.log,
                instance=settings.pod_name,
                failed=self._operator_metrics.count_event_failure,
            ),
            lease=self._lease,
            watches=self._watches,
            metrics=self._operator_metrics,
            http=self._session,
            settings=settings,
            version=version("titan"),
            log=self.log,
            connect=type(self).connect,
        )
        self._controllers = {name: StackController(name, parts) for name in settings.namespaces}
        watched = {KINDS[name]: labels for name, labels in WATCHED.items()}
        receiver = kopf_receiver(
            connection, watched, settings.namespaces, self._receive_event, silence_s=settings.watch_silence_s
        )
        self._supervisor = Supervisor(receiver, log=self.log, started=self._watches_started)
        self._spawn("lease", self._lease.run())
        self._spawn("watches", self._supervisor.run())
        self._spawn("watch check", self._check_watches())
        self._spawn("trust", self._keep_trust(self._verifier, parts.image_checker))
        for name, controller in self._controllers.items():
            self._spawn(f"controller of {name}", controller.run())

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)

        def ended(done: asyncio.Task[None]) -> None:
            # A task that nobody canceled may end canceled too: its stack would be left without a controller, silently.
            if not self._stopping:
                self.fail(f"{name} ended: {'canceled' if done.cancelled() else repr(done.exception())}")

        task.add_done_callback(ended)
        self._tasks.append(task)

    def _set_leader(self, mine: bool) -> None:
        self._operator_metrics.set_leader(mine)
        if mine:
            for controller in self._controllers.values():
                controller.wake()

    def _receive_event(self, kind: Kind, event: str, changed: Object) -> None:
        metadata = changed["metadata"]
        namespace = metadata["namespace"]
        if event == "DELETED":
            self._watches.deleted(kind, namespace, metadata["name"])
        else:
            self._watches.seen(kind, namespace, metadata["name"], metadata["resourceVersion"])
        if namespace in self._controllers:
            self._controllers[namespace].wake()

    def _watches_started(self, reason: str) -> None:
        self._watches.restarted()
        self._operator_metrics.count_watch_start()
        self.log.info("watches start", reason=reason)

    async def _check_watches(self) -> None:
        assert self._supervisor is not None
        while True:
            await asyncio.sleep(OVERDUE_S / 2)
            now = time.monotonic()
            for name in WATCHED:
                self._operator_metrics.set_watch_age(name, self._watches.age_s(KINDS[name], now))
            if overdue := self._watches.overdue(now):
                self._supervisor.restart(str(overdue[0]))

    def verifier(self) -> Verifier:
        """Make the verifier of signatures, from the mounted trust policy and credentials."""
        assert self._registries is not None
        settings = self.settings
        return MountedVerifier(
            TrustFile(Path(settings.trust_policy_file)),
            CredentialFiles(Path(settings.registry_credentials_dir) if settings.registry_credentials_dir else None),
            partial(cosign_verifier, self._registries),
        )

    async def _keep_trust(self, verifier: Verifier, image_checker: ImageChecker) -> None:
        """Bring the mounted trust policy into force, and publish its pinned and revoked images."""
        assert self._lease is not None
        problem, publish = "", True
        verifier.reload()
        if not verifier.terms.trust_policy:
            self.log.warning("no trust policy is in force: no new image passes")
        while True:
            if verifier.reload():
                publish = True
                self.log.info("trust policy in force", hash=verifier.terms.trust_policy)
                for controller in self._controllers.values():
                    controller.wake()
            if verifier.problem != problem:
                problem = verifier.problem
                self.log.warning("trust policy", problem=problem or "none any more")
            if publish and verifier.terms.trust_policy and self._lease.is_held():
                try:
                    await image_checker.apply_trust_terms()
                    publish = False
                except ClusterError as error:
                    self.log.warning("images not published yet", reason=str(error))
            await asyncio.sleep(TRUST_S)

    async def stop(self) -> None:
        """Stop all tasks, release the Lease and close connections."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lease is not None:
            try:
                await self._lease.release()
            except ClusterError as error:
                self.log.warning("the Lease was not released; it expires by itself", reason=str(error))
        for controller in self._controllers.values():
            await controller.close()
        for session in (self._session, self._registries):
            if session is not None:
                await session.close()
        if self._cluster is not None:
            await self._cluster.__aexit__(None, None, None)
        # In a thread of its own: sending the last spans must not block the loop.
        await asyncio.to_thread(self._end_tracing)

    def not_ready(self) -> list[str]:
        """Return the reasons for which the operator does not work; empty where it does."""
        reasons = [
            f"namespace {name}: {controller.failure}"
            for name, controller in self._controllers.items()
            if controller.failure
        ]
        if self._supervisor is None or not self._supervisor.ready:
            reasons.append("the watches are not running")
        reasons += [str(late) for late in self._watches.overdue(time.monotonic())]
        if self._verifier is not None and self._verifier.problem:
            reasons.append(self._verifier.problem)
        return reasons

    def status(self) -> dict[str, object]:
        """Return the document of ``/status``."""
        return {
            "role": self.settings.role,
            "version": version("titan"),
            "leader": self._lease is not None and self._lease.is_held(),
            "trust_policy": self._verifier.terms.trust_policy if self._verifier is not None else "",
            "namespaces": {name: controller.failure or "ok" for name, controller in self._controllers.items()},
        }

    def pages(self) -> dict[str, Any]:
        """Serve ``/healthz`` to the kubelet, which restarts a silent process, and ``/readyz`` to people."""
        return super().pages() | {
            "/healthz": self._health_page,
            "/readyz": self._readiness_page,
            "/metrics": self._metrics_page,
        }

    def _health_page(self) -> Page:
        return HTTPStatus.OK, "application/json", b'{"status": "ok"}\n'

    def _readiness_page(self) -> Page:
        reasons = self.not_ready()
        body = json.dumps({"status": "not ready" if reasons else "ok", "reasons": reasons}).encode() + b"\n"
        return HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK, "application/json", body

    def _metrics_page(self) -> Page:
        self._operator_metrics.set_queue(
            len([controller for controller in self._controllers.values() if controller.waiting])
        )
        return HTTPStatus.OK, "text/plain; version=0.0.4", self.metrics.exposition()


def main() -> NoReturn:
    """Run the operator."""
    run(OperatorApp)
