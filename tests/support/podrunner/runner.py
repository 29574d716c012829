"""Scheduler and kubelet of tests: runs the pods that real controllers make as processes of this machine.

What is real: who decides that a pod is to be, its spec, its volumes and how they are replaced, its probes, its
restarts, its status, how it is ended. What is not: there is no image, no file system and no network of its own. The
commands are those of this virtual environment, mount paths and Service names are translated
(:class:`~support.podrunner.spec.Translation`), and nothing is limited or forbidden to a process. Waits between
restarts and between probes of what is not ready are shorter than a kubelet's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from testcluster.controlplane import ControlPlane

from support.podrunner.addresses import Addresses
from support.podrunner.api import AWAY, MERGE_PATCH, Api, ApiError, Cache, Object
from support.podrunner.pod import Machine, PodLife
from support.podrunner.status import NODE_ADDRESS

NODE = "local"
_AGAIN_S = 0.2
_STOP_S = 30.0


class PodRunnerError(Exception):
    """The runner itself failed, or a requested pod does not exist."""


class PodRunner:
    """Runs pods in a thread of its own. A context manager; all processes have ended when it is left.

    Parameters
    ----------
    cluster
        The control plane. A runner and its processes use no other identity than a scheduler's, a node's, and an
        administrator's for what a kubelet or a volume plugin reads.
    folder
        Where pods, claims and logs are.
    commands
        What runs in place of a program, by its name: ``{"titan-operator": [sys.executable, …]}``; and what runs all
        programs of an image, by the image: it is given their words.
    environment
        Given to every process beside what its pod asks for.

    Attributes
    ----------
    failures
        What went wrong with the runner itself; leaving it raises them.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        folder: Path,
        *,
        commands: Mapping[str, Sequence[str]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._admin = Api(cluster.admin)
        self._node = Api(cluster.kubeconfig(f"system:node:{NODE}", ("system:nodes",)))
        self._scheduler = Api(cluster.kubeconfig("system:kube-scheduler"))
        host, _, port = cluster.server.removeprefix("https://").rpartition(":")
        self._addresses = Addresses()
        self._caches = {
            kind: Cache(self._admin, path, changed)
            for kind, path, changed in (
                ("configmaps", "/api/v1/configmaps", self._source_changed),
                ("secrets", "/api/v1/secrets", self._source_changed),
                ("services", "/api/v1/services", lambda *_: None),
                ("persistentvolumeclaims", "/api/v1/persistentvolumeclaims", self._claim_changed),
                ("pods", "/api/v1/pods", self._pod_changed),
            )
        }
        self._machine = Machine(
            node=self._node,
            folder=folder / "pods",
            objects=self,
            commands=commands or {},
            environment={
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": port,
                **(environment or {}),
            },
            address_of=self._address_of,
            take_address=self._take_address,
            claim=self._claim,
        )
        self._lives: dict[str, PodLife] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._done: dict[str, asyncio.Event] = {}
        self.failures: list[str] = []
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="pod runner", daemon=True)
        self._stopping = asyncio.Event()
        self._ready = threading.Event()

    # Use

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        if not self._ready.wait(_STOP_S) or self.failures:
            self.__exit__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._addresses.close()
        if self.failures:
            raise PodRunnerError("\n".join(self.failures))

    def log(self, namespace: str, pod: str, container: str | None = None) -> str:
        """Return the logs of a pod's containers (all, without a name), over all restarts, also of a deleted pod."""
        files = sorted((self._folder / "pods" / namespace).glob(f"{pod}.{container or '*'}.log"))
        return "".join(file.read_text(errors="replace") for file in files)

    def pid(self, namespace: str, pod: str, container: str | None = None) -> int:
        """Process of a container that runs: the only one, or the named one.

        Raises
        ------
        PodRunnerError
            There is no such pod, or nothing of it runs.
        """
        for life in list(self._lives.values()):
            if (life.namespace, life.name) == (namespace, pod):
                for item in life.containers:
                    if item.name == (container or item.name) and item.process and item.process.returncode is None:
                        return item.process.pid
        raise PodRunnerError(f"nothing runs of pod {namespace}/{pod}, container {container or 'any'}")

    def kill(self, namespace: str, pod: str, container: str | None = None) -> None:
        """Kill a container's process without a word: the runner starts it again."""
        try:
            os.killpg(self.pid(namespace, pod, container), signal.SIGKILL)
        except ProcessLookupError as error:
            raise PodRunnerError(f"nothing runs any longer of pod {namespace}/{pod}") from error

    def pause(self, namespace: str, pod: str, container: str | None = None) -> None:
        """Stop a container's process where it stands, until :meth:`resume`."""
        os.killpg(self.pid(namespace, pod, container), signal.SIGSTOP)

    def resume(self, namespace: str, pod: str, container: str | None = None) -> None:
        """Let a paused process go on."""
        os.killpg(self.pid(namespace, pod, container), signal.SIGCONT)

    def pids(self) -> list[int]:
        """All processes that run now."""
        lives = list(self._lives.values())
        processes = [item.process for life in lives for item in (*life.init, *life.containers)]
        return [process.pid for process in processes if process is not None and process.returncode is None]

    # What pods ask

    def config_map(self, namespace: str, name: str) -> Object | None:
        """A ConfigMap as it was last seen."""
        return self._caches["configmaps"].get(namespace, name)

    def secret(self, namespace: str, name: str) -> Object | None:
        """A Secret as it was last seen."""
        return self._caches["secrets"].get(namespace, name)

    def _address_of(self, namespace: str, name: str) -> str | None:
        service = self._caches["services"].get(namespace, name)
        return None if service is None else self._addresses.of_service(service)

    async def _take_address(self, pod: Object) -> str:
        uid, namespace = pod["metadata"]["uid"], pod["metadata"]["namespace"]
        services = self._caches["services"].of(namespace)
        return await self._addresses.take(pod, services, self._lives[uid].leaving, self._done[uid])

    def _claim(self, namespace: str, name: str) -> Path | None:
        claim = self._caches["persistentvolumeclaims"].get(namespace, name)
        if claim is None or claim.get("status", {}).get("phase") != "Bound":
            return None
        folder = self._claim_folder(namespace, name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _claim_folder(self, namespace: str, name: str) -> Path:
        return self._folder / "claims" / namespace / name

    # The thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except Exception:  # noqa: BLE001 - told by whoever leaves the runner
            self.failures.append(traceback.format_exc())
        finally:
            self._ready.set()

    async def _main(self) -> None:
        apis = (self._admin, self._node, self._scheduler)
        for api in apis:
            await api.open()
        try:
            await self._register()
            # Pods last: what they need is known by then.
            for kind, cache in self._caches.items():
                self._spawn(cache.run(), f"watch of {kind}")
                await cache.synced.wait()
            self._ready.set()
            await self._stopping.wait()
        finally:
            for life in self._lives.values():
                life.gone_from_server()
            lives = [task for task, what in self._tasks.items() if what.startswith("pod ")]
            await asyncio.gather(*lives, return_exceptions=True)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for api in apis:
                await api.close()

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = self._loop.create_task(work, name=what)
        self._tasks[task] = what

        def ended(done: asyncio.Task[None]) -> None:
            del self._tasks[done]
            if not done.cancelled() and (error := done.exception()) is not None:
                self.failures.append(f"{what}: {''.join(traceback.format_exception(error))}")

        task.add_done_callback(ended)

    async def _register(self) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "processes of this machine"}
        room = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
        status = {
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}, {"type": "Hostname", "address": NODE}],
            "capacity": room,
            "allocatable": room,
        }
        metadata = {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}}
        try:
            await self._admin.call("POST", "/api/v1/nodes", {"metadata": metadata})
        except ApiError as error:
            if error.code != 409:
                raise
        await self._admin.call("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, MERGE_PATCH)

    # Events

    def _source_changed(self, before: Object | None, after: Object | None) -> None:
        namespace = (after or before or {})["metadata"]["namespace"]
        for life in self._lives.values():
            if life.namespace == namespace:
                life.sources_changed()

    def _claim_changed(self, before: Object | None, after: Object | None) -> None:
        if after is None or (before is not None and before["metadata"]["uid"] != after["metadata"]["uid"]):
            assert before is not None
            shutil.rmtree(self._claim_folder(*_key(before)), ignore_errors=True)
            self._spawn(self._delete_volume(before), "end of a volume")
        if after is not None and not after["spec"].get("volumeName") and "deletionTimestamp" not in after["metadata"]:
            self._spawn(self._make_volume(after), "making of a volume")
        self._source_changed(before, after)

    async def _make_volume(self, claim: Object) -> None:
        namespace, name = _key(claim)
        spec = {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(self._claim_folder(namespace, name))},
            "claimRef": {"namespace": namespace, "name": name, "uid": claim["metadata"]["uid"]},
        }
        body = {"metadata": {"name": _volume(claim)}, "spec": spec}
        await self._until_done(self._admin, "POST", "/api/v1/persistentvolumes", body, passed=409)

    async def _delete_volume(self, claim: Object) -> None:
        await self._until_done(self._admin, "DELETE", f"/api/v1/persistentvolumes/{_volume(claim)}", None, passed=404)

    def _pod_changed(self, before: Object | None, after: Object | None) -> None:
        if before is not None and (after is None or after["metadata"]["uid"] != before["metadata"]["uid"]):
            life = self._lives.get(before["metadata"]["uid"])
            if life is not None:
                life.gone_from_server()
        if after is None:
            return
        uid, spec = after["metadata"]["uid"], after["spec"]
        if uid in self._lives:
            self._lives[uid].update(after)
        elif not spec.get("nodeName"):
            if "deletionTimestamp" not in after["metadata"] and not spec.get("schedulingGates"):
                self._spawn(self._bind(after), f"scheduling of {after['metadata']['name']}")
        elif spec["nodeName"] == NODE and after.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._lives[uid] = PodLife(after, self._machine)
            self._done[uid] = asyncio.Event()
            self._spawn(self._live(uid), f"pod {'/'.join(_key(after))}")

    async def _live(self, uid: str) -> None:
        life = self._lives[uid]
        try:
            await life.run()
        except Exception:  # noqa: BLE001 - told by whoever leaves the runner
            self.failures.append(f"pod {life.namespace}/{life.name}: {traceback.format_exc()}")
        self._done[uid].set()
        # Until it is seen to be gone, lest the watch's last words about it start it anew.
        await life.gone.wait()
        shutil.rmtree(life.folder, ignore_errors=True)
        del self._lives[uid], self._done[uid]

    async def _bind(self, pod: Object) -> None:
        namespace, name = _key(pod)
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "uid": pod["metadata"]["uid"]},
            "target": target,
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/binding"
        # Gone, another of the same name, or bound already (an answer was lost).
        await self._until_done(self._scheduler, "POST", path, body, passed=404)

    async def _until_done(self, api: Api, method: str, path: str, body: Object | None, *, passed: int) -> None:
        while True:
            try:
                await api.call(method, path, body)
            except ApiError as error:
                if error.code in (passed, 409):
                    return
                if error.code not in (403, 429, 500, 503):
                    raise
            except AWAY:
                pass
            else:
                return
            await asyncio.sleep(_AGAIN_S)


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _volume(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"
