"""``titan up`` replaces its certificates while it trades: no restart, no lost order, and old ones are refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from support.stack.both_accounts import disagreements, read_both
from support.stack.titan_up import PROCESSES, LocalStack, local_stack
from titan.runtime.pki.identity import IdentityFiles
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN
from titan.runtime.rpc.errors import RpcError
from titan.runtime.settings import ProcessSettings
from titan.v1 import brain_pb2 as b

pytestmark = pytest.mark.slow

LIFETIME_S = 10
RENEWALS = 4


def certificates(stack: LocalStack) -> dict[str, bytes]:
    """Read the present certificate of each process from its file."""
    found = {}
    for name in PROCESSES:
        (folder,) = {path.parent for path in (stack.state / name).rglob("cert.pem")}
        found[name] = IdentityFiles(folder).now.certificate
    return found


async def ask_brain(tls: Path, address: str) -> b.GetBrainResponse:
    settings = ProcessSettings(role="cli", http_port=0, state_dir=str(tls), tls_dir=str(tls))
    channel = RpcChannel(settings, "brain", address)
    try:
        return await channel.call(BRAIN_GET_BRAIN, b.GetBrainRequest(), timeout_s=30)
    finally:
        await channel.close()


def test_certificates_are_replaced_under_trading(tmp_path: Path) -> None:
    arguments = ("--arm", "--seed", "5", "--speed", "20", "--certificate-lifetime", str(LIFETIME_S))
    with local_stack(tmp_path / "state", *arguments) as stack:
        stack.wait("ready: http://127.0.0.1:")
        pids = {name: one["pid"] for name, one in stack.processes().items()}
        shutil.copytree(stack.state / "cli", tmp_path / "old-client")
        address = json.loads((stack.state / "plan.json").read_text())["addresses"]["brain"]
        assert asyncio.run(ask_brain(tmp_path / "old-client", address)).market_label
        seen = [certificates(stack)]
        market_times_ns = []
        deadline_s = time.monotonic() + 60 * RENEWALS
        while len(seen) <= RENEWALS:
            assert time.monotonic() < deadline_s, f"{len(seen) - 1} renewals only"
            now = certificates(stack)
            if all(now[name] != seen[-1][name] for name in PROCESSES):
                seen.append(now)
                market_times_ns.append(int(stack.json("status")["brain"]["market_time_ns"]))
            time.sleep(0.2)
        # Market time waits for every process in each step, so each of them worked with each generation.
        assert market_times_ns == sorted(set(market_times_ns)), f"the stack stood still: {market_times_ns}"
        assert stack.json("fills")["fills"]
        assert {name: one["pid"] for name, one in stack.processes().items()} == pids
        with pytest.raises(RpcError) as refused:
            asyncio.run(ask_brain(tmp_path / "old-client", address))
        assert refused.value.unavailable
        code, _ = stack.end()
        assert code == 0, stack.stderr
    for name in PROCESSES:
        said = (stack.state / name / "log.jsonl").read_text().partition("stopping")[0]
        assert name == "marketdata" or said.count("certificate replaced: reconnecting") >= RENEWALS - 1
        assert "connection lost" not in said
    assert not disagreements(read_both(stack.state, tmp_path / "copy"))
