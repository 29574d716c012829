"""What the pod runner makes of specs, without a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.cluster.listed_operator import ListVerifier
from support.podrunner.small_pods import container, pod_spec
from support.podrunner.spec import Mount, NotYetError, Translation, contents, environment, expand, refusals
from support.podrunner.volumes import Volumes, publish
from support.stack.titan_up import wait_until_gone

MOUNTS = [
    Mount("/etc/titan", Path("/tmp/here/titan")),
    Mount("/etc/titan/tls", Path("/elsewhere/tls")),
    Mount("/tmp", Path("/scratch")),
]
ADDRESSES = {("alpha", "brain"): "127.1.0.1", ("beta", "brain"): "127.1.0.2"}


@pytest.mark.parametrize(
    ("description", "value", "expected"),
    [
        ("a path below a mount", "/etc/titan/config/policy.json", "/tmp/here/titan/config/policy.json"),
        ("the longest mount wins", "/etc/titan/tls/key.pem", "/elsewhere/tls/key.pem"),
        ("the mount itself", "/etc/titan", "/tmp/here/titan"),
        ("a folder here that begins like a mount is not translated again", "/etc/titan/x", "/tmp/here/titan/x"),
        ("several, as in a flag and a list", "--file=/tmp/a:/etc/titan/b", "--file=/scratch/a:/tmp/here/titan/b"),
        ("a longer name is another path", "/etc/titanium /tmpfs", "/etc/titanium /tmpfs"),
        ("within another path it is another path", "/var/tmp/a", "/var/tmp/a"),
        ("a Service by its name and namespace", "brain=brain.alpha.svc:3110", "brain=127.1.0.1:3110"),
        ("by its whole name", "http://brain.beta.svc.cluster.local/x", "http://127.1.0.2/x"),
        ("an unknown Service stays", "brain.gamma.svc:1", "brain.gamma.svc:1"),
    ],
)
def test_translation(description: str, value: str, expected: str) -> None:
    translation = Translation(MOUNTS, lambda namespace, name: ADDRESSES.get((namespace, name)))
    assert translation.text(value) == expected, description


@pytest.mark.parametrize(
    ("description", "value", "expected"),
    [
        ("known", "$(A)/b", "1/b"),
        ("unknown stays", "$(B)", "$(B)"),
        ("escaped", "$$(A)", "$(A)"),
        ("a shell's is not ours", "$A ${A}", "$A ${A}"),
    ],
)
def test_references(description: str, value: str, expected: str) -> None:
    assert expand(value, {"A": "1"}) == expected, description


class Known:
    """One ConfigMap."""

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        return {"data": {"a": "1"}, "binaryData": {"b": "AAE="}} if (namespace, name) == ("alpha", "known") else None

    def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        return None


def test_what_is_missing_is_told_unless_it_is_optional() -> None:
    assert contents(Known(), "ConfigMap", "alpha", {"name": "known"}) == {"a": b"1", "b": b"\0\1"}
    assert contents(Known(), "Secret", "alpha", {"secretName": "gone", "optional": True}) == {}
    with pytest.raises(NotYetError, match='secret "gone" not found'):
        contents(Known(), "Secret", "alpha", {"secretName": "gone"})
    pod = {"metadata": {"name": "pod", "namespace": "alpha", "uid": "1"}, "spec": {}}
    key = {"name": "known", "key": "other"}
    asking = {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": key}}]}
    with pytest.raises(NotYetError, match="couldn't find key other in ConfigMap known"):
        environment(asking, pod, Known())
    key["optional"] = True  # type: ignore[assignment]
    assert environment(asking, pod, Known()) == {}
    assert environment({"envFrom": [{"prefix": "X_", "configMapRef": {"name": "known"}}]}, pod, Known())["X_a"] == "1"


SECURE = container("")["securityContext"]


@pytest.mark.parametrize(
    ("problem", "spec"),
    [
        ("container small: it is privileged", {"securityContext": SECURE | {"privileged": True}}),
        (
            "container small: allowPrivilegeEscalation is not false",
            {"securityContext": {key: value for key, value in SECURE.items() if key != "allowPrivilegeEscalation"}},
        ),
        ("container small: runAsUser is 0", {"securityContext": SECURE | {"runAsUser": 0}}),
        ("container small: capabilities.drop lacks ALL", {"securityContext": SECURE | {"capabilities": {}}}),
        (
            "container small: capabilities.add has more than NET_BIND_SERVICE",
            {"securityContext": SECURE | {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}},
        ),
        ("container small: it asks for a hostPort", {"ports": [{"containerPort": 1, "hostPort": 1}]}),
        ("container small: the pod runner runs no lifecycle hooks", {"lifecycle": {"preStop": {"sleep": {}}}}),
        (
            "container small: livenessProbe: the pod runner makes no gRPC probes",
            {"livenessProbe": {"grpc": {"port": 1}}},
        ),
    ],
)
def test_each_refusal_has_its_own_reason(problem: str, spec: dict[str, Any]) -> None:
    assert refusals({"spec": pod_spec(container("") | spec)}) == [problem]


def test_what_is_right_is_not_refused() -> None:
    assert refusals({"spec": pod_spec(container(""))}) == []


def test_files_of_a_volume_are_replaced_all_at_once(tmp_path: Path) -> None:
    publish(tmp_path, {"a": (b"1", 0o400), "deep/b": (b"2", 0o644)})
    opened = (tmp_path / "a").open("rb")
    assert (tmp_path / "deep" / "b").read_bytes() == b"2"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "a").is_symlink()
    publish(tmp_path, {"a": (b"3", 0o400), "c": (b"4", 0o644)})
    # Who has the old one open reads the old one; nothing else of it is left.
    assert opened.read() == b"1"
    opened.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {"a": b"3", "c": b"4"}
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


# Says which processes it has started by two rounds, the first of which it ended itself, and is killed or ends.
RUNS = """
import asyncio, os, signal, sys
from pathlib import Path
from support.podrunner.container import Prepared, kill_group, spawn
STARTS = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
async def main():
    log = Path(sys.argv[1])
    prepared = Prepared([sys.executable, "-c", STARTS], {}, log.parent, log, "127.0.0.1")
    for rounds in (1, 2):
        process = await spawn(prepared, prepared.command)
        while log.read_text().count(chr(10)) < rounds:
            await asyncio.sleep(0.01)
        print(process.pid, flush=True)
        if rounds == 1:
            kill_group(process.pid)
            await process.wait()
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_nothing_that_a_pod_started_outlives_the_runners_process(tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    path = os.pathsep.join(str(Path(__file__).parents[4] / folder) for folder in ("tests", "ci"))
    command = [sys.executable, "-c", RUNS, str(log), how]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0)
    started, further = done.stdout.split(), log.read_text().split()
    assert (len(started), len(further)) == (2, 2)
    assert wait_until_gone([int(pid) for pid in (*started, *further)]) == []


async def test_the_list_of_images_is_read_for_each_question(tmp_path: Path) -> None:
    file = tmp_path / "images"
    image = "titan/titan@sha256:" + "1" * 64
    file.write_text("")
    verifier = ListVerifier(file)
    refused = await verifier.verify(image)
    assert (refused.verified, refused.reason) == (False, "NotListed")
    file.write_text(f"{image}\n")
    assert (await verifier.verify(image)).digest == "sha256:" + "1" * 64
    assert (await verifier.verify(image)).verified
    # The digest is what counts, whatever the name; another digest is another image.
    file.write_text("sha256:" + "1" * 64)
    assert (await verifier.verify(image)).verified
    assert not (await verifier.verify(image[:-1] + "2")).verified


@pytest.mark.parametrize("revoked", ["titan/titan@sha256:" + "1" * 64, "sha256:" + "1" * 64])
async def test_a_revoked_image_is_refused_for_that_though_it_is_listed(tmp_path: Path, revoked: str) -> None:
    file = tmp_path / "images"
    image, other = ("titan/titan@sha256:" + digit * 64 for digit in "12")
    file.write_text(f"{image}\n{other}\nrevoked {revoked}\n")
    verdict = await ListVerifier(file).verify(image)
    assert (verdict.verified, verdict.reason) == (False, "Revoked")
    assert (await ListVerifier(file).verify(other)).verified


@pytest.mark.parametrize(("lifetime_s", "asked"), [(3600, 1), (0, 2)])
async def test_a_token_is_replaced_before_it_ends_and_not_sooner(tmp_path: Path, lifetime_s: int, asked: int) -> None:
    tokens = 0

    async def request(audience: str, wanted_s: int) -> str:
        nonlocal tokens
        tokens += 1
        assert (audience, wanted_s) == ("", lifetime_s)
        return f"token {tokens}"

    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": lifetime_s}}
    pod = {
        "metadata": {"name": "pod", "namespace": "alpha", "uid": "1"},
        "spec": {"volumes": [{"name": "access", "projected": {"sources": [source]}}]},
    }
    volumes = Volumes(tmp_path, pod, Known(), lambda _: None, request)
    await volumes.prepare()
    assert (tmp_path / "access" / "token").read_text() == "token 1"
    assert (volumes.token_due_in_s() > 0) == (asked == 1)
    await volumes.refresh(pod)
    assert (tmp_path / "access" / "token").read_text() == f"token {asked}"
