"""One edited rule in the policy file of one process: nothing opens, both hashes are shown, exits pass."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.stack.both_accounts import disagreements, read_both
from support.stack.titan_up import LocalStack, local_stack
from titan.domain.enums import OrderRole
from titan.domain.policy_hash import policy_hash

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# Brain's and Execution's own rows of each of these are unit tests.
SWEEP = [pytest.param(name, marks=pytest.mark.chaos) for name in ("brain", "scavenger")]


def eventually(what: str, ask: Callable[[], Any], timeout_s: float = 180) -> Any:
    """Wait for the first true answer."""
    deadline_s = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
    return answer


def seen_by_brain(stack: LocalStack) -> dict[str, Any]:
    """Brain's page: asked often, it takes no process as a command does. Empty while Brain is away."""
    address = json.loads((stack.state / "plan.json").read_text())["http"]["brain"]
    try:
        with urllib.request.urlopen(f"{address}/status", timeout=30) as answer:
            return dict(json.load(answer))
    except (OSError, http.client.HTTPException):
        return {}


def opened(stack: LocalStack) -> bool:
    """Whether Execution has a position."""
    return bool(seen_by_brain(stack).get("positions")) and bool(stack.json("positions")["positions"])


def closed(stack: LocalStack) -> bool:
    """Whether Execution has none."""
    return seen_by_brain(stack).get("positions") == {} and not stack.json("positions").get("positions")


def edit_one_rule(path: Path) -> tuple[str, str]:
    """Lower one limit a little; return the hash before and after."""
    before = json.loads(path.read_text())
    after = {**before, "maxOrderNotional": "9999"}
    path.write_text(json.dumps(after))
    return policy_hash(before), policy_hash(after)


def refusal(stack: LocalStack) -> dict[str, Any] | None:
    if not seen_by_brain(stack).get("decisions", {}).get("POLICY_HASH_MISMATCH"):
        return None
    last = stack.json("status").get("brain", {}).get("last_decision", {})
    return last if last.get("reason") == "REASON_POLICY_HASH_MISMATCH" else None


@pytest.mark.parametrize("name", ["execution", *SWEEP])
def test_an_edited_rule_stops_openings_and_lets_exits_pass(tmp_path: Path, name: str) -> None:
    with local_stack(tmp_path / "state", "--arm", "--seed", "5", "--speed", "20") as stack:
        stack.wait("ready: http://127.0.0.1:")
        eventually("a position", lambda: opened(stack))
        expected, edited = edit_one_rule(stack.state / name / "policy.json")
        pid = stack.processes()[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        stack.wait_ready(name, other_than_pid=pid)
        known = {order["client_order_id"] for order in stack.json("orders")["orders"]}

        refused = eventually("a refusal", lambda: refusal(stack))
        assert expected in refused["message"]
        assert edited in refused["message"]
        # The time exit is a reducing order: it passes with any hash.
        eventually("the position closed", lambda: closed(stack))
        code, _ = stack.end()
        assert code == 0, stack.stderr
    books = read_both(stack.state, tmp_path / "copy")
    assert not disagreements(books)
    later = [order for order in books.ours.orders.values() if order.client_order_id not in known]
    assert not [order for order in later if order.order_role is OrderRole.ENTRY]
    assert [order for order in later if order.order_role is OrderRole.EXIT]
