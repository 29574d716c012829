"""Effects that are written together, effects that wait for others, and reports of failed ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from titan.runtime.telemetry.logs import get_logger
from titan_operator.api.acts import Act, ActVerb
from titan_operator.cluster.backoff import Backoff
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import Kind
from titan_operator.controller.executor import AT_ONCE, EffectExecutor
from titan_operator.reconcile.effects import Apply, Certificate, Effect, ForwardAct
from titan_operator.reconcile.observed import Observed
from titan_operator.stack.view import Ack

Answer = Callable[[str, str], Awaitable[None]]
MOUNTED = ("ServiceAccount", "NetworkPolicy", "ConfigMap", "Service")
PATIENCE_S = 60.0


class Lease:
    def __init__(self) -> None:
        self.mine = True

    def is_held(self) -> bool:
        return self.mine


class Written:
    """Stands where the client of the API server is: notes what begins and what ends, and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def apply(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        self.begun.append(kind.name)
        await self._answer(kind.name, name)
        self.ended.append(kind.name)


class Identity:
    """Certificates that are written as the rest is."""

    def __init__(self, written: Written) -> None:
        self._written = written

    async def ensure(self, phase: str, _role: str, _stored: object) -> None:
        await self._written.apply(Kind("Secret", "v1", "secrets"), {"metadata": {"name": f"{phase}-tls"}})


def executor_of(
    written: Written, lease: Lease, client: Any = None, addresses: Mapping[str, str] | None = None
) -> EffectExecutor:
    observed = Observed("s", "titan-system", "1", (), (), {}, (), {}, stack=None)  # type: ignore[arg-type]
    parts: Any = SimpleNamespace(cluster=written, lease=lease)
    listing: Any = SimpleNamespace(addresses=lambda: dict(addresses or {}))
    certificates: Any = Identity(written)
    return EffectExecutor(
        "s", observed, listing, parts, certificates, client, Backoff(time.monotonic), get_logger("test")
    )


def apply(kind: str, name: str = "scavenger") -> Apply:
    return Apply(kind, name, {"metadata": {"name": name}}, "scavenger")


async def test_what_is_mounted_is_written_together_and_the_workload_after_it() -> None:
    together = asyncio.Barrier(len(MOUNTED) + 1)

    async def answer(kind: str, _name: str) -> None:
        # Nobody is answered before all have asked: one at a time would wait here for ever.
        if kind != "Deployment":
            await together.wait()

    written = Written(answer)
    effects = (*map(apply, MOUNTED), Certificate("scavenger", "scavenger"), apply("Deployment"), apply("Service", "b"))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError):
            # The Service behind the Deployment is alone at the barrier: it did not go out with the first ones.
            async with asyncio.timeout(0.2):
                await executor_of(written, Lease()).execute(effects)
    assert set(written.begun[:5]) == set(written.ended[:5]) == {*MOUNTED, "Secret"}
    assert written.begun[5:] == ["Deployment", "Service"]
    assert written.ended[5:] == ["Deployment"]


@pytest.mark.parametrize("kind", ["Job", "Deployment", "StatefulSet"])
async def test_what_runs_pods_is_written_one_by_one(kind: str) -> None:
    running: list[str] = []
    most = 0

    async def answer(_kind: str, name: str) -> None:
        nonlocal most
        running.append(name)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(name)

    await executor_of(Written(answer), Lease()).execute([apply(kind, "a"), apply(kind, "b"), apply("ConfigMap")])
    assert most == 1


async def test_what_failed_first_is_what_stands_first_whichever_answer_comes_first() -> None:
    later = asyncio.Event()

    async def answer(kind: str, _name: str) -> None:
        if kind == "ConfigMap":
            await later.wait()
            raise ApiError(403, "Forbidden", "not this one", None, None)
        if kind == "Service":
            later.set()
            raise Unreachable("no answer")

    written = Written(answer)
    executor = executor_of(written, Lease())
    async with asyncio.timeout(PATIENCE_S):
        await executor.execute([apply("ConfigMap"), apply("Service"), apply("ServiceAccount"), apply("Deployment")])
    assert [type(error) for error in executor.failures] == [ApiError, Unreachable]
    assert executor.failed_objects["scavenger"].startswith("ConfigMap scavenger: ")
    assert written.ended == ["ServiceAccount", "Deployment"], "one that fails holds up no other"


async def test_what_failed_is_left_until_its_time() -> None:
    async def answer(kind: str, _name: str) -> None:
        if kind == "ConfigMap":
            raise Unreachable("no answer")

    written = Written(answer)
    executor = executor_of(written, Lease())
    effects: list[Effect] = [apply("ConfigMap"), apply("Service")]
    await executor.execute(effects)
    await executor.execute(effects)
    assert written.begun == ["ConfigMap", "Service", "Service"]
    assert executor.failed_objects["scavenger"].startswith("ConfigMap scavenger: no answer")


async def test_the_lease_is_checked_before_each_batch() -> None:
    lease = Lease()

    async def answer(_kind: str, _name: str) -> None:
        lease.mine = False

    written = Written(answer)
    with pytest.raises(Unreachable, match="Lease was lost"):
        await executor_of(written, lease).execute([apply("ConfigMap", f"c{number}") for number in range(AT_ONCE + 3)])
    assert len(written.begun) == AT_ONCE


async def test_a_defect_is_no_refusal() -> None:
    async def answer(kind: str, _name: str) -> None:
        if kind == "Service":
            raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        await executor_of(Written(answer), Lease()).execute([apply("ConfigMap"), apply("Service")])


async def test_a_cancellation_from_a_connection_is_a_failed_write() -> None:
    async def answer(_kind: str, _name: str) -> None:
        raise asyncio.CancelledError

    executor = executor_of(Written(answer), Lease())
    await executor.execute([apply("ConfigMap")])
    assert [str(error) for error in executor.failures] == ["ConfigMap scavenger: the write was canceled"]


async def test_canceling_the_pass_ends_it() -> None:
    begun = asyncio.Event()

    async def answer(_kind: str, _name: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    written = Written(answer)
    work = asyncio.create_task(executor_of(written, Lease()).execute([apply("ConfigMap"), apply("Deployment")]))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert written.begun == ["ConfigMap"]


class RebasingExecution:
    """Stands where the client of the stack is: answers rebases, and notes them."""

    def __init__(self, ack: Ack) -> None:
        self.ack = ack
        self.asked: list[tuple[str, str, str, str]] = []

    async def rebase(self, address: str, by: str, reason: str, nonce: str) -> Ack:
        self.asked.append((address, by, reason, nonce))
        return self.ack


@pytest.mark.parametrize(
    ("description", "addresses", "ack", "outcome", "message"),
    [
        ("done", {"execution": "e:1"}, Ack(True, "OK", "the peak is 200"), "Done", "the peak is 200"),
        ("refused", {"execution": "e:1"}, Ack(False, "PRECONDITION", "open positions: 1"), "Refused", "open positions"),
        ("not reached: it is not sent later", {"execution": "e:1"}, Ack(False, "X", "away", False), "Refused", "away"),
        ("no Execution", {"brain": "b:1"}, Ack(True, "OK", ""), "Refused", "Execution does not run"),
    ],
)
async def test_a_rebase_goes_to_execution_once(
    description: str, addresses: dict[str, str], ack: Ack, outcome: str, message: str
) -> None:
    async def answer(_kind: str, _name: str) -> None:
        raise AssertionError("nothing is written")

    client = RebasingExecution(ack)
    executor = executor_of(Written(answer), Lease(), client, addresses)
    await executor.execute([ForwardAct("demo", Act(ActVerb.REBASE, "nonce-0001", "olaf", "after the crash"))])
    result = executor.acts["demo"]
    assert (result["verb"], result["outcome"], result["nonce"]) == ("rebase", outcome, "nonce-0001"), description
    assert message in result["message"]
    assert client.asked == ([("e:1", "olaf", "after the crash", "nonce-0001")] if "execution" in addresses else [])
