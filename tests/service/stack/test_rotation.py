"""Certificates replaced while everything runs: no stream loses a message, expired certificates are refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from support.stack.local_processes import REPOSITORY, Stack
from titan.brain.settings import BrainSettings
from titan.runtime.pki.certificate_files import issue
from titan.runtime.pki.certificates import Authority, issue_leaf, make_authority
from titan.runtime.rpc import link as link_module
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, BRAIN_SUBMIT
from titan.runtime.rpc.errors import RpcError
from titan.runtime.rpc.link import Link
from titan.runtime.rpc.server import Peer, RpcServer, ServerStream
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

LIFETIME = timedelta(seconds=3)
STOPPED_S = 20.0


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(STOPPED_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {STOPPED_S} s in vain: {what}") from None


class Counting:
    """Brain's server, which counts messages, and a phase's link that sends numbers as fast as the loop runs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings = stack.settings(ProcessSettings, "brain")
        self.phase = stack.client("scavenger")
        self.received: list[int] = []
        self.echoed: list[int] = []
        self.posted: list[int] = []
        self.refused_posts = 0
        self.hellos = 0
        self.lost: list[str] = []
        self.metrics = Metrics()
        self.server = RpcServer(self.settings, self.metrics, get_logger("brain"))
        self.server.stream(BRAIN_SUBMIT, self._serve)
        self.server.unary(BRAIN_GET_BRAIN, self._answer)
        self.link: Link[b.SubmitRequest, b.SubmitResponse] = Link(
            RpcChannel(self.phase, "brain"),
            BRAIN_SUBMIT,
            lambda: [b.SubmitRequest(hello=b.PhaseHello(phase_id="scavenger"))],
            lambda message: self.echoed.append(message.marker.step),
            self.lost.append,
            get_logger("scavenger"),
        )
        self.cli = RpcChannel(stack.client("cli"), "brain")

    def replace(self, authority: Authority | None = None, *roles: str) -> None:
        """Write new certificates for every role, like an operator."""
        for role in roles or ("brain", "scavenger", "cli"):
            folder = self.stack.directory / "tls" / role
            shutil.rmtree(folder)
            issue(authority or self.stack.authority, role, self.stack.name, folder, lifetime=LIFETIME)

    async def post_for(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            number = len(self.posted) + 1
            if self.link.post(b.SubmitRequest(marker=c.StepMarker(step=number))):
                self.posted.append(number)
            else:
                self.refused_posts += 1
            await asyncio.sleep(0.001)

    async def _serve(self, stream: ServerStream[b.SubmitRequest, b.SubmitResponse]) -> None:
        async for request in stream:
            if request.HasField("hello"):
                self.hellos += 1
            else:
                self.received.append(request.marker.step)
                stream.post(b.SubmitResponse(marker=request.marker))

    async def _answer(self, _request: b.GetBrainRequest, peer: Peer) -> b.GetBrainResponse:
        return b.GetBrainResponse(mode=peer.role)


@pytest.fixture
async def counting(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counting]:
    monkeypatch.setattr(link_module, "RELOAD_PERIOD_S", 0.05)
    async with run(Counting(stack)) as made:
        yield made


@asynccontextmanager
async def run(made: Counting) -> AsyncIterator[Counting]:
    made.replace()
    await made.server.start()
    made.link.start()
    try:
        await until(lambda: made.hellos, "connected")
        yield made
    finally:
        await made.link.stop()
        await made.cli.close()
        await made.server.stop(0)


async def test_no_message_is_lost_over_several_replacements_and_the_expiry_of_the_first(counting: Counting) -> None:
    old = counting.stack.directory / "tls-old"
    shutil.copytree(counting.stack.directory / "tls" / "scavenger", old)
    began_s = time.monotonic()
    for round_number in range(2, 6):
        await counting.post_for(1.2)
        counting.replace()
        await counting.post_for(0.3)
        await until(lambda now=round_number: counting.hellos == now, "a stream with the new certificate")
        assert (await counting.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())).mode == "cli"
    await counting.post_for(0.5)
    await until(lambda: len(counting.echoed) == len(counting.posted), "all echoes")
    assert counting.received == counting.echoed == counting.posted
    assert len(counting.posted) > 500
    assert set(counting.lost) == {"certificate replaced"}
    assert time.monotonic() - began_s > LIFETIME.total_seconds(), "the first certificate has expired meanwhile"

    expired = RpcChannel(
        ProcessSettings(role="scavenger", http_port=0, state_dir=str(old), tls_dir=str(old)),
        "brain",
        counting.stack.peers["brain"],
    )
    with pytest.raises(RpcError) as refused:
        await expired.call(BRAIN_GET_BRAIN, b.GetBrainRequest(), timeout_s=1.0)
    assert refused.value.unavailable
    await expired.close()


async def test_an_authority_is_changed_over_while_a_stream_runs(counting: Counting) -> None:
    old, new = counting.stack.authority, make_authority(datetime.now(UTC))
    # First both are trusted and the old one signs, then the new one signs, at last the old one goes.
    steps = (
        replace(old, certificate_pem=old.certificate_pem + new.certificate_pem),
        replace(new, certificate_pem=new.certificate_pem + old.certificate_pem),
        new,
    )
    for hellos, authority in enumerate(steps, start=2):
        # One after another: whoever is renewed first meets peers that are not.
        for role in ("scavenger", "cli", "brain"):
            counting.replace(authority, role)
            await counting.post_for(0.15)
        await until(lambda now=hellos: counting.hellos == now, "a stream with the new certificate")
        assert (await counting.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())).mode == "cli"
    await until(lambda: len(counting.echoed) == len(counting.posted), "all echoes")
    assert counting.received == counting.posted


async def test_a_stream_that_stands_is_not_given_up_for_a_certificate_that_nobody_accepts(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RpcChannel, "renew", _impatient(RpcChannel.renew))
    counting.replace(make_authority(datetime.now(UTC)), "scavenger")
    await counting.post_for(1.0)
    assert counting.hellos == 1
    assert counting.lost == []
    assert counting.refused_posts == 0
    counting.replace(None, "scavenger")
    await until(lambda: counting.hellos == 2, "a stream with the certificate that is accepted")
    await counting.post_for(0.1)
    await until(lambda: len(counting.echoed) == len(counting.posted), "all echoes")


def _impatient(renew: Callable[..., object]) -> Callable[..., object]:
    return lambda channel: renew(channel, 0.2)


async def test_a_peer_that_does_not_end_its_side_is_cut_off(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "RELOAD_PERIOD_S", 0.05)
    monkeypatch.setattr(link_module, "_FINISH_S", 0.2)
    made = Counting(stack)

    async def deaf(stream: ServerStream[b.SubmitRequest, b.SubmitResponse]) -> None:
        made.hellos += 1
        await asyncio.Event().wait()

    made.server.stream(BRAIN_SUBMIT, deaf)
    async with run(made):
        made.replace()
        await until(lambda: made.hellos == 2, "connected anew")


def test_a_process_without_an_identity_says_so_and_does_not_start(stack: Stack) -> None:
    empty = stack.directory / "empty"
    empty.mkdir()
    settings = stack.settings(BrainSettings, "brain", tls_dir=str(empty), policy_file=str(_policy(stack.directory)))
    done = subprocess.run(
        [sys.executable, "-m", "titan.brain.app"],
        check=False,
        env=stack.environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "holds no identity; missing: key.pem, cert.pem, ca.pem" in done.stderr
    assert "Traceback" not in done.stderr


def _policy(directory: Path) -> Path:
    document = yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())
    path = directory / "policy.json"
    path.write_text(json.dumps(document["spec"]["rules"]))
    return path


async def test_a_replaced_file_set_that_does_not_match_changes_nothing(counting: Counting) -> None:
    other = issue_leaf(counting.stack.authority, "scavenger", counting.stack.name, datetime.now(UTC), LIFETIME)
    path = counting.stack.directory / "tls" / "scavenger" / "key.pem"
    before = path.read_bytes()
    path.write_bytes(other.key_pem)
    await counting.post_for(0.3)
    assert (counting.hellos, counting.lost) == (1, [])
    path.write_bytes(before)
