"""``titan up`` looked at from other terminals: one stack that runs as long as a test of this module is left."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from support.stack.titan_up import DEMO, PROCESSES, TITAN, LocalStack, local_stack

pytestmark = pytest.mark.slow

READY = "ready: http://127.0.0.1:"


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """An armed stack in lockstep without end, for tests that only read it, on the cores that it takes."""
    with local_stack(tmp_path_factory.mktemp("armed") / "state", "--arm", "--speed", "4") as stack:
        stack.wait(READY)
        yield stack


def test_status_shows_every_process_and_the_market(armed: LocalStack) -> None:
    done = armed.titan("status")
    assert done.returncode == 0, done.stderr
    assert "SIMULATED MARKET" in done.stdout
    assert "ARMED" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    status = armed.json("status")
    assert {one["name"]: (one["state"], one["ready"]) for one in status["processes"]} == dict.fromkeys(
        PROCESSES, ("ready", True)
    )
    assert status["brain"]["posture"]["in_force"] == "POSTURE_ARMED"
    assert status["brain"]["policy_hash"] == status["execution"]["policy_hash"] == status["policy"]["hash"]


@pytest.mark.parametrize(
    ("command", "field"),
    [("orders", "orders"), ("fills", "fills"), ("positions", "positions"), ("equity", "equity"), ("why", "obstacles")],
)
def test_listing_in_every_form(armed: LocalStack, command: str, field: str) -> None:
    table = armed.titan(command)
    assert table.returncode == 0, table.stderr
    assert max(map(len, table.stdout.splitlines())) <= 100
    assert field in armed.json(command)
    as_yaml = armed.titan(command, "-o", "yaml")
    assert (as_yaml.returncode, as_yaml.stdout.startswith(f"{field}:")) == (0, True)


def test_explain_shows_guards_with_numbers(armed: LocalStack) -> None:
    armed.wait("decision  01", timeout_s=120)
    shown = armed.titan("explain")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 100
    assert "GUARD" in shown.stdout
    decision = armed.json("explain")["decisions"][0]
    one = armed.json("explain", decision["intent_id"])
    assert one["guards"] == decision["guards"]
    assert [guard["number"] for guard in one["guards"]] == sorted(guard["number"] for guard in one["guards"])
    assert armed.titan("explain", "zzzz").returncode == 1
    assert armed.titan("explain", "z").returncode == 2


def test_logs_of_a_process(armed: LocalStack) -> None:
    done = armed.titan("logs", "brain", "-n", "1000")
    assert (done.returncode, "started" in done.stdout) == (0, True)
    assert armed.titan("logs", "nobody").returncode == 2


def test_caller_without_a_certificate_is_logged_and_counted(armed: LocalStack) -> None:
    plan = json.loads((armed.state / "plan.json").read_text())
    host, port = plan["addresses"]["execution"].split(":")
    context = ssl.create_default_context(cafile=str(armed.state / "ca" / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="execution.titan.internal") as secure,
        # In TLS 1.3 the server's refusal comes after the client's own end of the handshake: an alert, or just an end.
        contextlib.suppress(ssl.SSLError, ConnectionError),
    ):
        assert secure.recv(1) == b""
    deadline_s = time.monotonic() + 120
    while (counted := refused(plan["http"]["execution"])) != ["tls_peer_did_not_return_a_certificate"]:
        assert time.monotonic() < deadline_s, counted
        time.sleep(0.1)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in armed.titan("logs", "execution").stdout


def refused(url: str) -> list[str]:
    """Read the causes of the refusals that a process has counted."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        return re.findall(r'titan_rpc_refused_total\{cause="(\w+)"\}', answer.read().decode())


def test_second_stack_on_the_same_state_is_refused(armed: LocalStack) -> None:
    done = subprocess.run(
        [TITAN, "up", *DEMO, "--state", armed.state], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"in use by another `titan up` (process {armed.process.pid})" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert armed.titan("status").returncode == 0


def test_play_money_is_no_profit_and_a_rebase_waits_for_a_disarmed_account(armed: LocalStack) -> None:
    done = armed.titan("paper", "deposit", "50")
    assert (done.returncode, done.stdout.startswith("deposited 50 USDT: ")) == (0, True), done.stderr
    deadline = time.monotonic() + 30
    while (account := armed.json("equity")["equity"])["net_deposits"] != "250":
        assert time.monotonic() < deadline, account
        time.sleep(0.2)
    assert float(account["equity"]) > 240
    assert float(account["day_start_equity"]) > 240
    too_much = armed.titan("paper", "withdraw", "100000")
    assert (too_much.returncode, "INSUFFICIENT_MARGIN: amount=100000" in too_much.stderr) == (1, True)
    assert armed.titan("paper", "withdraw", "much").returncode == 2
    refused = armed.titan("rebase", "--reason", "a drill")
    assert (refused.returncode, "latch: ARMED" in refused.stderr) == (1, True)
    assert armed.titan("rebase", "--reason", " ").returncode == 2
