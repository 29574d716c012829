"""Volumes of a pod as folders, filled and replaced as a kubelet does it: whole sets of files by one symbolic link."""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from support.podrunner.api import Object
from support.podrunner.spec import Mount, NotYetError, Objects, contents, field_value, source_name

_MODE = 0o644
# Of a token's life, after which it is replaced.
_TOKEN_USED = 0.8
Files = dict[str, tuple[bytes, int]]


@dataclass
class _Token:
    text: str
    due: float


class Volumes:
    """All volumes of one pod, below ``folder``.

    Parameters
    ----------
    claim
        Folder of a bound claim of the pod's namespace, None while it is not bound.
    request_token
        Asks for a token of the pod's ServiceAccount; its arguments are audience (empty: the API server's) and lifetime
        in seconds.
    """

    def __init__(
        self,
        folder: Path,
        pod: Object,
        objects: Objects,
        claim: Callable[[str], Path | None],
        request_token: Callable[[str, int], Awaitable[str]],
    ) -> None:
        self._folder = folder
        self._pod = pod
        self._objects = objects
        self._claim = claim
        self._request_token = request_token
        self._volumes: dict[str, Object] = {item["name"]: item for item in pod["spec"].get("volumes") or ()}
        self._folders: dict[str, Path] = {}
        self._written: dict[str, Files] = {}
        self._tokens: dict[tuple[str, int], _Token] = {}

    async def prepare(self) -> None:
        """Make every volume, or write anew what has changed.

        Raises
        ------
        NotYetError
            Something that a volume needs is missing.
        """
        for name, volume in self._volumes.items():
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                folder = self._claim(claim)
                if folder is None:
                    raise NotYetError("ContainerCreating", f'persistentvolumeclaim "{claim}" is not bound')
                self._folders[name] = folder
                continue
            self._folders[name] = self._folder / name
            self._folders[name].mkdir(parents=True, exist_ok=True)
            if "emptyDir" not in volume:
                files = await self._files(volume)
                if self._written.get(name) != files:
                    publish(self._folders[name], files)
                    self._written[name] = files

    async def refresh(self, status_of: Object) -> None:
        """Write anew what has changed; what has gone missing stays as it was, as on a node."""
        self._pod = status_of
        try:
            await self.prepare()
        except NotYetError:
            return

    def token_due_in_s(self) -> float:
        """Seconds until a token is to be replaced; infinite without one."""
        return min((token.due for token in self._tokens.values()), default=float("inf")) - time.monotonic()

    def mounts(self, container: Object) -> list[Mount]:
        """Where a container's mounts are here."""
        return [
            Mount(item["mountPath"], self._folders[item["name"]] / item.get("subPath", ""))
            for item in container.get("volumeMounts") or ()
        ]

    async def _files(self, volume: Object) -> Files:
        if "projected" in volume:
            default = volume["projected"].get("defaultMode", _MODE)
            files: Files = {}
            for source in volume["projected"].get("sources") or ():
                files |= await self._source(source, default)
            return files
        kind = next(key for key in ("configMap", "secret", "downwardAPI") if key in volume)
        return await self._source({kind: volume[kind]}, volume[kind].get("defaultMode", _MODE))

    async def _source(self, source: Object, mode: int) -> Files:
        if token := source.get("serviceAccountToken"):
            text = await self._token(token.get("audience", ""), token.get("expirationSeconds", 3600))
            return {token["path"]: (text.encode(), mode)}
        if downward := source.get("downwardAPI"):
            return {
                item["path"]: (field_value(self._pod, item["fieldRef"]["fieldPath"]).encode(), item.get("mode", mode))
                for item in downward.get("items") or ()
            }
        kind, reference = next((kind, source[key]) for key, kind in _KINDS if key in source)
        return self._selected(kind, reference, mode)

    def _selected(self, kind: str, reference: Object, mode: int) -> Files:
        found = contents(self._objects, kind, self._pod["metadata"]["namespace"], reference)
        name = source_name(reference)
        if not reference.get("items"):
            return {key: (value, mode) for key, value in found.items()}
        files: Files = {}
        for item in reference["items"]:
            if item["key"] in found:
                files[item["path"]] = (found[item["key"]], item.get("mode", mode))
            elif not reference.get("optional"):
                raise NotYetError(
                    "ContainerCreating", f"references non-existent config key: {item['key']} in {kind} {name}"
                )
        return files

    async def _token(self, audience: str, lifetime_s: int) -> str:
        known = self._tokens.get((audience, lifetime_s))
        if known is None or time.monotonic() >= known.due:
            text = await self._request_token(audience, lifetime_s)
            known = _Token(text, time.monotonic() + lifetime_s * _TOKEN_USED)
            self._tokens[audience, lifetime_s] = known
        return known.text


_KINDS = (("configMap", "ConfigMap"), ("secret", "Secret"))


def publish(folder: Path, files: Files) -> None:
    """Replace all files of ``folder`` at once: who reads sees all old ones or all new ones.

    Source: Kubernetes, pkg/volume/util/atomic_writer.go.
    """
    stamp = f"..{time.time_ns()}"
    for path, (content, mode) in files.items():
        file = folder / stamp / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    (folder / stamp).mkdir(exist_ok=True)
    data, fresh = folder / "..data", folder / "..data_tmp"
    before = folder / data.readlink() if data.is_symlink() else None
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(stamp)
    fresh.replace(data)
    shown = {Path(path).parts[0] for path in files}
    for name in shown:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    for item in folder.iterdir():
        if not item.name.startswith("..") and item.name not in shown:
            item.unlink()
    if before is not None:
        shutil.rmtree(before)
