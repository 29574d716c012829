"""Registries' credentials from mounted Secrets of type ``kubernetes.io/dockerconfigjson``, which may be replaced."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from titan.domain.policy_rules import shown

# Names of Docker's own registry in such files.
_DOCKER_HUB = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}


class CredentialsFileError(ValueError):
    """A file is not of the form that ``docker login`` writes; the message names the host and never a value."""


@dataclass(frozen=True)
class Login:
    """User and password of one registry."""

    user: str
    password: str = field(repr=False)


def read_docker_config(text: bytes) -> dict[str, Login]:
    """Read logins by host (``HOST`` or ``HOST:PORT``) from a Docker configuration file; a path is ignored.

    Raises
    ------
    CredentialsFileError
        When it is not JSON, or a host's login cannot be read.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CredentialsFileError("not JSON; allowed is what docker login writes") from error
    hosts = document.get("auths") if isinstance(document, dict) else None
    if not isinstance(hosts, dict):
        raise CredentialsFileError("auths: missing; allowed is what docker login writes")
    return {_host(name): _login(name, entry) for name, entry in hosts.items()}


def _host(name: str) -> str:
    bare = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return _DOCKER_HUB.get(bare, bare)


def _login(name: str, entry: object) -> Login:
    where = f"auths.{shown(name)}"
    if not isinstance(entry, dict):
        raise CredentialsFileError(f"{where}: no object; allowed are auth, or username and password")
    user, password, auth = (entry.get(key) for key in ("username", "password", "auth"))
    if isinstance(user, str) and isinstance(password, str) and user and _sendable(user + password):
        return Login(user, password)
    try:
        decoded = base64.b64decode(auth, validate=True).decode() if isinstance(auth, str) else ""
    except ValueError:
        # No base64, or not of UTF-8.
        decoded = ""
    user, colon, password = decoded.partition(":")
    if not user or not colon:
        raise CredentialsFileError(f"{where}: no login; allowed are auth (base64 of USER:PASSWORD), or both words")
    return Login(user, password)


def _sendable(text: str) -> bool:
    # JSON can hold lone surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class CredentialFiles:
    """Logins of every ``*.json`` in a folder; a file is read again when it has changed.

    Attributes
    ----------
    logins
        Logins by host. The last logins of a file that can no longer be read are kept.
    problem
        Problems of the files, in a sentence; empty without one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._by_file: dict[str, Mapping[str, Login]] = {}
        self.logins: dict[str, Login] = {}
        self.problem = ""

    def reload(self) -> None:
        """Read the changed files."""
        if self._folder is None:
            return
        problems = []
        present = sorted(path for path in self._folder.glob("*.json") if not path.name.startswith("."))
        for path in present:
            try:
                found = os.stat(path)  # noqa: PTH116 - the stamp of a symbolic link's target, as elsewhere
                stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
                if self._seen.get(path.name) == stamp:
                    continue
                self._by_file[path.name] = read_docker_config(path.read_bytes())
                self._seen[path.name] = stamp
            except OSError as error:
                problems.append(f"{path.name}: {error.strerror}")
            except CredentialsFileError as error:
                problems.append(f"{path.name}: {error}")
        names = {path.name for path in present}
        self._by_file = {name: logins for name, logins in self._by_file.items() if name in names}
        self.logins = {host: login for logins in self._by_file.values() for host, login in logins.items()}
        self.problem = "; ".join(problems)
