"""A stack on this machine for tests: certificates, free ports and settings for each process.

``stack.settings(BrainSettings, "brain", phases=("scavenger",))`` makes the settings of a composition root.
``stack.client("cli")`` makes the settings of a caller. ``stack.foreign("brain")`` makes a certificate of an untrusted
authority.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

from testcluster.ports import block, free_ports

from titan.runtime.pki.certificate_files import ensure_ca, issue
from titan.runtime.pki.certificates import Authority

REPOSITORY = Path(__file__).resolve().parents[3]
STACK_NAME = "test"
# Every possible role of a local stack. All get their ports at once, so that the peers of the first process are complete
# before the second exists.
ROLES = ("marketdata", "papervenue", "execution", "brain", "scavenger", "hunter", "sentinel", "operator", "cli")

S = TypeVar("S")


def free_port_offset(ports: Iterable[int]) -> int:
    """Return an offset at which every one of ``ports`` is free, and in no other process's part of the ports.

    ``ports`` are those of a stack: eight within 309, and those of phases 5,079 above the first, in the lower part of
    the tenth block from there. Four offsets with four between them share no port.
    """
    wanted = sorted(port for port in ports if port)
    first = block() - wanted[0]
    for offset in _offsets(first):
        if not any(is_listening(port + offset) for port in wanted):
            return offset
    raise RuntimeError("no offset at which all ports are free")


@cache
def _turns() -> Iterator[int]:
    return cycle(range(0, 16, 4))


def _offsets(first: int) -> Iterator[int]:
    return (first + next(_turns()) for _ in range(4))


def is_listening(port: int) -> bool:
    """Whether a program listens on the loopback port."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Stack:
    """Folders, certificates, ports and settings below ``directory``, made on first use."""

    def __init__(self, directory: Path, name: str = STACK_NAME) -> None:
        self.directory = directory
        self.name = name
        # Database URL by role. A role that is absent has a file in its folder.
        self.databases: dict[str, str] = {}
        self.authority: Authority = ensure_ca(directory / "ca")
        ports = free_ports(2 * len(ROLES))
        self.grpc_ports = dict(zip(ROLES, ports[: len(ROLES)], strict=True))
        self.http_ports = dict(zip(ROLES, ports[len(ROLES) :], strict=True))

    @property
    def peers(self) -> dict[str, str]:
        """Address of every role."""
        return {role: f"127.0.0.1:{port}" for role, port in self.grpc_ports.items()}

    def folder(self, role: str) -> Path:
        """Make the process's own state folder."""
        path = self.directory / role
        path.mkdir(exist_ok=True)
        return path

    def tls(self, role: str) -> Path:
        """Make the folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` of the role."""
        path = self.directory / "tls" / role
        issue(self.authority, role, self.name, path)
        return path

    def foreign(self, role: str) -> Path:
        """Make a folder like :meth:`tls`, of another authority with the same names."""
        authority = ensure_ca(self.directory / "foreign-ca")
        path = self.directory / "foreign-tls" / role
        issue(authority, role, self.name, path)
        return path

    def settings(self, kind: type[S], role: str, **fields: Any) -> S:
        """Make settings of a process of ``role``; ``fields`` override the common ones."""
        common: dict[str, Any] = {
            "role": role,
            "grpc_port": self.grpc_ports[role],
            "http_port": self.http_ports[role],
            "state_dir": str(self.folder(role)),
            "tls_dir": str(self.tls(role)),
            "peers": self.peers,
            "log_format": "console",
            "log_level": "info",
        }
        if role in self.databases and "database_url" in kind.__struct_fields__:
            common["database_url"] = self.databases[role]
        return kind(**{**common, **fields})

    def database(self, role: str) -> str:
        """Make the URL of the role's database."""
        from titan.storage.schema import default_url

        return self.databases.get(role) or default_url(
            str(self.folder(role)), "brain" if role == "brain" else "execution"
        )

    def client(self, role: str, **fields: Any) -> Any:
        """Make settings of a caller without a server, for ``RpcChannel(stack.client("cli"), "brain")``."""
        from titan.runtime.settings import ProcessSettings

        return self.settings(ProcessSettings, role, **fields)

    def environment(self, settings: Any) -> dict[str, str]:
        """Make the environment from which a process started by exec loads ``settings``."""
        import msgspec

        values = {name: getattr(settings, name) for name in settings.__struct_fields__}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TITAN_", "GRPC_"))},
            **{
                f"TITAN_{name.upper()}": _environment_value(msgspec.to_builtins(value))
                for name, value in values.items()
            },
        }


def _environment_value(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
