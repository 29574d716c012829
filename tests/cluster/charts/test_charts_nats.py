"""The server of chart titan-data requires its Secret's password, which only its environment holds."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane
from testcluster.toolchain import NATS, ensure

from support.cluster.charts import DIGEST, objects, rendered
from support.podrunner.small_pods import until
from support.podrunner.spec import environment

SECRET = "titan-nats"


@dataclass(frozen=True)
class Objects:
    """The namespace's Secret, for the pod runner."""

    password: str

    def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        found = {"data": {"password": base64.b64encode(self.password.encode()).decode()}}
        return found if (namespace, name) == ("titan-data", SECRET) else None

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        return None


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def command(self) -> str:
        return Path(f"/proc/{self.process.pid}/cmdline").read_text()

    def ports(self) -> dict[str, list[str]] | None:
        """Where it listens, by protocol; None until it does, or when it has ended."""
        for file in self.folder.glob("nats-server_*.ports"):
            if text := file.read_text():
                return dict(json.loads(text))
        return None

    def answer(self, **login: str) -> str:
        """Return the server's answer to one connection: PONG, or its refusal."""
        ports = self.ports()
        assert ports is not None
        with socket.create_connection(("127.0.0.1", int(ports["nats"][0].rpartition(":")[2])), timeout=60) as link:
            lines = link.makefile("rb")
            assert lines.readline().startswith(b"INFO ")
            link.sendall(b"CONNECT " + json.dumps({"verbose": False, **login}).encode() + b"\r\nPING\r\n")
            return lines.readline().decode().strip()


@pytest.fixture(scope="module")
def chart(plane: ControlPlane) -> list[dict[str, Any]]:
    return objects(rendered(plane, "titan-data", ("nats.enabled=true", f"nats.image=nats@{DIGEST}")))


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (item for item in documents if item["kind"] == kind)
    return found


@contextmanager
def running(chart: list[dict[str, Any]], password: str, folder: Path) -> Iterator[Server]:
    """The chart's command, configuration and environment; only ports and folders are this machine's."""
    (container,) = one(chart, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    configuration = one(chart, "ConfigMap")["data"]["nats.conf"]
    for its, here in (("4222", "-1"), ("8222", "-1"), ("/data", f'"{folder}/data"')):
        assert configuration.count(f": {its}\n") == 1
        configuration = configuration.replace(f": {its}\n", f": {here}\n")
    (folder / "nats.conf").write_text(f'{configuration}ports_file_dir: "{folder}"\n')
    program, *words = container["command"]
    assert program == NATS.name
    words = [str(folder / "nats.conf") if word == "/etc/nats/nats.conf" else word for word in words]
    given = environment(container, {"metadata": {"namespace": "titan-data"}}, Objects(password))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [ensure((NATS,))[NATS.name], *words], env={"PATH": os.defpath, **given}, stdout=log, stderr=log
        )
    try:
        yield Server(process, folder)
    finally:
        process.kill()
        process.wait(60)


# As it is made, and those that a configuration file would read as a number, a variable, an end or a comment.
@pytest.mark.parametrize("password", ["0f3a9c5577b1", "123456", "3e9abc", '$HOME "a" # \\n }', "8m4dwr"])
def test_the_password_of_the_secret_is_asked_for_and_is_in_no_command_or_log(
    chart: list[dict[str, Any]], password: str, tmp_path: Path
) -> None:
    with running(chart, password, tmp_path) as server:
        until(server.ports, "a server that listens")
        assert server.answer(user="titan", **{"pass": password}) == "PONG"
        for wrong in ({"user": "titan", "pass": f"{password}x"}, {"user": "other", "pass": password}, {}):
            assert server.answer(**wrong) == "-ERR 'Authorization Violation'"
        assert password not in server.command
        assert password not in server.said


def test_a_password_that_cannot_be_one_is_refused_without_showing_it(
    chart: list[dict[str, Any]], tmp_path: Path
) -> None:
    with running(chart, "hush'hush", tmp_path) as server:
        assert server.process.wait(60) != 0
        assert "NATS_QUOTED_PASSWORD" in server.said
        assert "hush" not in server.said
