"""One pod's life on this machine: volumes, containers, status, end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.podrunner.api import AWAY, MERGE_PATCH, Api, ApiError, Object
from support.podrunner.container import Container, Prepared, now
from support.podrunner.spec import (
    SERVICE_ACCOUNT_DIR,
    Mount,
    NotYetError,
    Objects,
    Translation,
    environment,
    expand,
    refusals,
)
from support.podrunner.status import NODE_ADDRESS, pod_status
from support.podrunner.volumes import Volumes

_AGAIN_S = 0.2
_LONG_S = 3600.0
# Refusals that pass: not yet known to be this node's pod, another writer at once, an API server that starts or ends.
_PASSING = (403, 409, 429, 500, 503)


@dataclass(frozen=True)
class Machine:
    """Services of the runner for its pods.

    Attributes
    ----------
    node
        The API server for the node itself, as which statuses are written and pods taken away.
    folder
        Where pods have their folders.
    commands
        What runs in place of a program, by its name; and what runs all programs of an image, by the image.
    environment
        Given to every process beside what its pod asks for.
    address_of
        Address of a Service, by namespace and name.
    take_address
        Address for a pod; waits until one that it must have is free.
    claim
        Folder of a bound claim, by namespace and name.
    """

    node: Api
    folder: Path
    objects: Objects
    commands: Mapping[str, Sequence[str]]
    environment: Mapping[str, str]
    address_of: Callable[[str, str], str | None]
    take_address: Callable[[Object], Awaitable[str]]
    claim: Callable[[str, str], Path | None]


class PodLife:
    """Runs one pod until it is gone."""

    def __init__(self, pod: Object, machine: Machine) -> None:
        self.pod = pod
        self.machine = machine
        metadata, spec = pod["metadata"], pod["spec"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.folder = machine.folder / self.namespace / f"{self.name}-{self.uid[:8]}"
        self.address = ""
        self.leaving = asyncio.Event()
        self.gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._sources_changed = asyncio.Event()
        self._since = now()
        self._refused = ""
        self._mounts: dict[str, list[Mount]] = {}
        policy = spec.get("restartPolicy", "Always")
        self.containers = [self._container(item, policy) for item in spec["containers"]]
        init_policy = "Never" if policy == "Never" else "OnFailure"
        self.init = [self._container(item, init_policy) for item in spec.get("initContainers") or ()]
        self.volumes = Volumes(
            self.folder / "volumes",
            pod,
            machine.objects,
            lambda claim: machine.claim(self.namespace, claim),
            self._request_token,
        )
        self.update(pod)

    def _container(self, spec: Object, policy: str) -> Container:
        grace_s = float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        return Container(spec, policy, grace_s, self._prepare, self._changed.set, lambda: self._sources_changed)

    def log(self, container: str) -> Path:
        """Where a container's words go, over all its restarts."""
        path: Path = self.machine.folder / self.namespace / f"{self.name}.{container}.log"
        return path

    def update(self, pod: Object) -> None:
        """Take the pod as the API server has it now."""
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self.leaving.set()

    def gone_from_server(self) -> None:
        """The object is there no longer: nothing may run for it."""
        self.gone.set()
        self.leaving.set()

    def sources_changed(self) -> None:
        """A ConfigMap, Secret or claim of its namespace is another one."""
        self._sources_changed.set()
        self._sources_changed = asyncio.Event()

    async def run(self) -> None:
        """Run it: until it is gone from the API server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        writer = asyncio.ensure_future(self._write_statuses())
        work = asyncio.ensure_future(self._work())
        leaving = asyncio.ensure_future(self.leaving.wait())
        try:
            await asyncio.wait({work, leaving, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in (work, writer):
                if task.done():
                    task.result()
            await asyncio.wait({leaving, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._end()
        finally:
            for each in (work, writer, leaving):
                each.cancel()
            await asyncio.gather(work, writer, leaving, return_exceptions=True)
            self.leaving.set()
            await asyncio.gather(*(item.finish(0) for item in (*self.init, *self.containers)))

    async def _work(self) -> None:
        if problems := refusals(self.pod):
            self._refused = "; ".join(problems)
            for item in self.containers:
                item.state = {"waiting": {"reason": "CreateContainerConfigError", "message": self._refused}}
            self._changed.set()
            return
        self.address = await self.machine.take_address(self.pod)
        await self._prepare_volumes()
        for container in (*self.init, *self.containers):
            self._mounts[container.name] = self.volumes.mounts(container.spec)
        # An error in either ends the pod, and is reported.
        async with asyncio.TaskGroup() as group:
            refreshing = group.create_task(self._refresh_volumes())
            await self._run_containers()
            refreshing.cancel()

    async def _run_containers(self) -> None:
        for container in self.init:
            await container.run()
            if container.exit_code:
                return
        async with asyncio.TaskGroup() as group:
            for container in self.containers:
                group.create_task(container.run())
        self._changed.set()

    async def _prepare_volumes(self) -> None:
        while True:
            again = self._sources_changed
            try:
                await self.volumes.prepare()
            except NotYetError as problem:
                for item in self.containers:
                    item.state = {"waiting": {"reason": "ContainerCreating", "message": str(problem)}}
                self._changed.set()
            else:
                return
            await again.wait()

    async def _refresh_volumes(self) -> None:
        while True:
            again = asyncio.ensure_future(self._sources_changed.wait())
            try:
                await self.volumes.refresh(self.pod)
                await asyncio.wait({again}, timeout=max(0.0, min(self.volumes.token_due_in_s(), _LONG_S)))
            finally:
                again.cancel()

    def _prepare(self, spec: Object) -> Prepared:
        status = {"podIP": self.address, "hostIP": NODE_ADDRESS}
        wanted = environment(spec, {**self.pod, "status": status}, self.machine.objects)
        translation = Translation(self._mounts[spec["name"]], self.machine.address_of)
        given = {name: translation.text(value) for name, value in wanted.items()}
        for mount in self._mounts[spec["name"]]:
            # Programs read these two by default.
            if mount.path == SERVICE_ACCOUNT_DIR:
                given["TITAN_SERVICE_ACCOUNT_DIR"] = str(mount.local)
            elif mount.path == "/tmp":
                given.setdefault("TMPDIR", str(mount.local))
        words = [*spec["command"], *(spec.get("args") or ())]
        program, *arguments = [translation.text(expand(word, wanted)) for word in words]
        command = [*self.machine.commands.get(Path(program).name, [program]), *arguments]
        command = [*self.machine.commands.get(spec["image"], []), *command]
        return Prepared(
            command, {**self.machine.environment, **given}, self.folder, self.log(spec["name"]), self.address
        )

    async def _request_token(self, audience: str, lifetime_s: int) -> str:
        account = self.pod["spec"].get("serviceAccountName", "default")
        reference = {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid}
        spec = {
            "expirationSeconds": lifetime_s,
            "boundObjectRef": reference,
            "audiences": [audience] if audience else [],
        }
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        while True:
            try:
                made = await self.machine.node.call("POST", path, {"spec": spec})
                return str(made["status"]["token"])
            except ApiError as error:
                # The API server learns only after a moment that the pod is this node's, and so whose token it may have.
                if error.code not in (404, *_PASSING):
                    raise
            except AWAY:
                pass
            await asyncio.sleep(_AGAIN_S)

    # Status and end

    async def _write_statuses(self) -> None:
        while True:
            self._changed.clear()
            await self._write_status()
            await self._changed.wait()

    async def _write_status(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        while not self.gone.is_set():
            known = self.pod.get("status", {})
            status = pod_status(known, self.containers, self.init, self.address, self._since, now(), self._refused)
            try:
                body = {"metadata": {"uid": self.uid}, "status": status}
                written = await self.machine.node.call("PATCH", path, body, MERGE_PATCH)
            except ApiError as error:
                if error.code == 404:
                    return
                if error.code not in _PASSING:
                    raise
            except AWAY:
                pass
            else:
                # Times of conditions are kept by what was written last, be the watch ever so late.
                self.pod = {**self.pod, "status": written["status"]}
                return
            await asyncio.sleep(_AGAIN_S)

    async def _end(self) -> None:
        grace_s = float(self.pod["metadata"].get("deletionGracePeriodSeconds", 0)) if not self.gone.is_set() else 0.0
        await asyncio.gather(*(item.finish(grace_s, self.gone) for item in (*self.init, *self.containers)))
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        # A Job counts its pods by how they ended.
        await self._write_status()
        while not self.gone.is_set():
            try:
                await self.machine.node.call("DELETE", path, options)
            except ApiError as error:
                if error.code == 404:
                    return
                if error.code not in _PASSING:
                    raise
            except AWAY:
                pass
            else:
                # Its finalizers may still hold it: whoever set them takes them off.
                return
            await asyncio.sleep(_AGAIN_S)
