"""The operator's own Lease: one operator works, another waits.

No wall clock decides. A contender takes over when it has seen the same version of the Lease for its whole duration on
its own clock, or at once when the holder's pod is gone. The holder stops by its own clock, a margin before that,
counted from when its last successful renewal *began*; a contender counts from when it first *read* that renewal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from titan.runtime.telemetry.logs import Log
from titan_operator.cluster.client import Cluster, Object
from titan_operator.cluster.errors import ApiError, ClusterError
from titan_operator.cluster.resource_kinds import LEASE, POD

# Fractions of the duration: between renewals of the holder, and between tries without the Lease or after a failure.
_RENEW = 1 / 3
_TRY = 1 / 15
_MARGIN = 1 / 5
_ENDED = ("Succeeded", "Failed")


def boot_s() -> float:
    """Return seconds since boot, sleep of the machine included: a suspended holder wakes up to a lost Lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Holder:
    """A pod as the holder of a Lease.

    Parameters
    ----------
    pod
        Name of the pod; it is in the Lease's namespace.
    uid
        Its uid: a later pod of the same name is another holder. Empty for a process in no pod, whose end shows only by
        its missing renewals.
    """

    pod: str
    uid: str

    @property
    def identity(self) -> str:
        """Value of ``holderIdentity``."""
        return f"{self.pod}_{self.uid}" if self.uid else self.pod


@dataclass(frozen=True)
class _Observed:
    """A version of another holder's Lease (empty: it is gone) and when it was first read, by our clock."""

    resource_version: str
    since_s: float
    duration_s: float


class OperatorLease:
    """Acquires, renews and releases one Lease.

    Parameters
    ----------
    cluster
        The API server; may ``get``, ``create`` and ``update`` the Lease and ``get`` pods in its namespace.
    namespace, name
        Namespace and name of the Lease.
    holder
        This process's pod. A container that starts again in the same pod is the same holder: the old process is dead.
    duration_s
        How long a holder keeps the Lease without a renewal, in seconds.
    changed
        Called with True when the Lease is acquired and False when it is lost or released.
    clock_s
        Monotonic seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        holder: Holder,
        duration_s: float,
        log: Log,
        changed: Callable[[bool], None] | None = None,
        clock_s: Callable[[], float] = boot_s,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._duration_s = duration_s
        self._log = log
        self._changed = changed or (lambda _held: None)
        self._clock_s = clock_s
        self._held_until_s: float | None = None
        self._current: Object | None = None
        self._observed: _Observed | None = None
        # Whether this process has ever seen a Lease.
        self._known = False
        self._acquired = asyncio.Event()

    def is_held(self) -> bool:
        """Whether this process may write now. Check before each write: it becomes false by the clock alone."""
        return self._held_until_s is not None and self._clock_s() < self._held_until_s

    async def wait_until_held(self) -> None:
        """Wait until the Lease is held."""
        await self._acquired.wait()

    async def run(self) -> None:
        """Acquire and renew until canceled."""
        while True:
            try:
                async with asyncio.timeout(self._duration_s * _RENEW):
                    renewed = await self.step()
            except (ClusterError, TimeoutError) as error:
                renewed = False
                self._log.warning(
                    "the operator's Lease could not be read or written", lease=self._name, error=str(error)
                )
            if self._acquired.is_set() and not self.is_held():
                self._lose("it could not be renewed in time")
            await asyncio.sleep(self._duration_s * (_RENEW if renewed else _TRY))

    async def step(self) -> bool:
        """Try once to acquire or renew, and return whether that succeeded.

        Raises
        ------
        ClusterError
            The API server refused or did not answer. Whether a write took effect is found at the next step.
        """
        try:
            if self._current is not None:
                return await self._write(self._current, self._clock_s())
            return await self._contend()
        except ApiError as error:
            self._current = None
            if not (error.conflict or error.already_exists or error.not_found):
                raise
            # Another write, perhaps a lost one of our own, came first: the next step reads the Lease.
            return False

    async def release(self) -> None:
        """Release the Lease, if it is held, so that the next holder need not wait.

        Raises
        ------
        ClusterError
            The API server refused or did not answer; the Lease then expires by itself.
        """
        current, held = self._current, self.is_held()
        self._current = None
        if self._acquired.is_set():
            self._lose("released")
        if current is not None and held:
            spec = {**current["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                await self._cluster.replace(LEASE, {"metadata": current["metadata"], "spec": spec})
            except ApiError as error:
                # It has another holder, or none, by now: there is nothing to release.
                if not (error.conflict or error.not_found):
                    raise

    async def _contend(self) -> bool:
        lease = await self._cluster.get(LEASE, self._name, self._namespace)
        # Taken after the response: its content was true before this moment.
        now_s = self._clock_s()
        if lease is None:
            # A Lease that was deleted may still have a holder, which works until its time is over.
            silent = self._silent("", self._duration_s, now_s) if self._known and not self.is_held() else True
            return await self._write(None, self._clock_s()) if silent else False
        self._known = True
        spec = lease.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if holder in ("", self._holder.identity):
            return await self._write(lease, self._clock_s())
        if self._acquired.is_set():
            self._lose(f"{holder} holds it")
        stored_s = float(spec.get("leaseDurationSeconds") or 0)
        if self._silent(lease["metadata"]["resourceVersion"], max(stored_s, self._duration_s), now_s):
            why = "its holder has not renewed it"
        elif await self._holder_gone(holder):
            why = "its holder's pod is gone"
        else:
            return False
        self._log.warning("taking over the operator's Lease", lease=self._name, holder=holder, why=why)
        return await self._write(lease, self._clock_s())

    def _silent(self, version: str, duration_s: float, now_s: float) -> bool:
        """Whether this version, and no other, was seen for the whole duration."""
        if self._observed is None or self._observed.resource_version != version:
            self._observed = _Observed(version, now_s, duration_s)
        return now_s >= self._observed.since_s + self._observed.duration_s

    async def _holder_gone(self, identity: str) -> bool:
        pod_name, _, uid = identity.rpartition("_")
        if not pod_name:
            return False
        pod = await self._cluster.get(POD, pod_name, self._namespace)
        return pod is None or pod["metadata"]["uid"] != uid or (pod.get("status") or {}).get("phase") in _ENDED

    async def _write(self, lease: Object | None, started_s: float) -> bool:
        """Write this holder into the Lease as it was read; a conflict means that it has changed since."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        before: dict[str, Any] = (lease or {}).get("spec") or {}
        renewing = before.get("holderIdentity") == self._holder.identity
        spec = {
            "holderIdentity": self._holder.identity,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "acquireTime": before.get("acquireTime", now) if renewing else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if renewing or lease is None else 1),
        }
        if lease is None:
            metadata: Object = {"name": self._name, "namespace": self._namespace}
            self._current = await self._cluster.create(LEASE, {"metadata": metadata, "spec": spec})
        else:
            self._current = await self._cluster.replace(LEASE, {"metadata": lease["metadata"], "spec": spec})
        self._observed, self._known = None, True
        self._held_until_s = started_s + self._duration_s * (1 - _MARGIN)
        if not self._acquired.is_set():
            self._acquired.set()
            self._log.info("the operator's Lease is acquired", lease=self._name, holder=self._holder.identity)
            self._changed(True)
        return True

    def _lose(self, why: str) -> None:
        self._acquired.clear()
        self._held_until_s = None
        self._log.warning("the operator's Lease is lost", lease=self._name, why=why)
        self._changed(False)
