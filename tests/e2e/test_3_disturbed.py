"""Parts die or are cut off under a stack that trades: it goes on, and nothing was lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.e2e.installed import DATA, STACK, Titan
from support.e2e.pods import PodLife
from support.e2e.story import Story
from support.tiers.abilities import skip_without

CUT_S = 10.0


@pytest.fixture(scope="module")
def trading(titan: Titan, stack: PodLife) -> PodLife:
    """A stack that opens and closes every few seconds, on a node of ours."""
    if titan.target.node is None:
        skip_without("a node of ours, whose parts may be killed")
    stack.busy()
    return stack


def restart_kubelet(titan: Titan, _: PodLife) -> None:
    titan.target.disturb("restart", "kubelet")


def kill_execution(titan: Titan, stack: PodLife) -> None:
    before = stack.containers()["execution"]
    titan.target.disturb("kill", before.removeprefix("containerd://"))
    titan.pods.wait("another container", lambda: stack.containers().get("execution", before) != before)


def cut_off_execution(titan: Titan, stack: PodLife) -> None:
    address = stack.pods()["execution"]["status"]["podIP"]
    titan.target.disturb("cut", address)
    # For so long and no condition ends it: this is what is tried.
    time.sleep(CUT_S)
    titan.target.disturb("heal", address)


def restart_postgresql(titan: Titan, _: PodLife) -> None:
    before = titan.pods.get("pod", "postgresql-0", DATA)["metadata"]["uid"]
    titan.target.kubectl("delete", "pod", "postgresql-0", "-n", DATA, "--wait=false", "--grace-period=1")

    def another() -> bool:
        pods = titan.pods.list("pods", DATA)
        return any(
            pod["metadata"]["name"] == "postgresql-0"
            and pod["metadata"]["uid"] != before
            and all(status["ready"] for status in pod["status"].get("containerStatuses", [{"ready": False}]))
            for pod in pods
        )

    titan.pods.wait("another PostgreSQL", another)


def restart_api_server(titan: Titan, _: PodLife) -> None:
    titan.target.disturb("restart", "apiserver")


@pytest.mark.parametrize(
    "disturb",
    [restart_kubelet, kill_execution, cut_off_execution, restart_postgresql, restart_api_server],
    ids=lambda disturb: disturb.__name__,
)
def test_trading_resumes_and_both_books_agree(
    titan: Titan, trading: PodLife, story: Story, disturb: Callable[[Titan, PodLife], None]
) -> None:
    """Disturbed: trading resumes, and the paper venue's records and Execution's say the same"""
    at, before = titan.pods, trading.venue()
    running = trading.containers()
    with story.timed(disturb.__name__.replace("_", " ")):
        disturb(titan, trading)
        at.wait_ready(STACK)
    restarted = sorted(role for role, one in trading.containers().items() if running.get(role) != one)
    assert restarted == (["execution"] if disturb is kill_execution else [])
    with story.timed(f"until it trades again; the posture was {at.posture(STACK)}"):
        trades_again(trading, len(before.trades))
    books = trading.agreed()
    known = {trade.trade_id for trade in books.venue.trades}
    assert {trade.trade_id for trade in before.trades} <= known
    story.tell(f"{len(known)} trades and {len(books.venue.orders)} orders in both books, each once; stops in place")


def trades_again(stack: PodLife, count: int) -> None:
    """Wait for trades beyond ``count``; what fell below ARMED meanwhile, a person arms again."""

    def more() -> bool:
        if stack.at.posture(stack.namespace) == "CLOSE_ONLY":
            stack.at.titan("arm", "--reason", "after a disturbance", namespace=stack.namespace, check=False)
        return len(stack.venue().trades) >= count + 4

    stack.at.wait("trades", more)
