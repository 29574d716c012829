"""Acts of people on a stack, each with the condition of its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from support.cluster.controller_fixture import ControllerFixture
from support.stack.model import NEXT_IMAGE, documents, quickstart
from titan.domain.enums import Posture
from titan_operator.cluster.resource_kinds import KINDS


@dataclass(frozen=True)
class StackAct:
    """One act: ``do`` it, and it is through once ``ended``."""

    name: str
    do: Callable[[ControllerFixture], Awaitable[None]]
    ended: Callable[[ControllerFixture], Awaitable[bool]]


async def _install(fixture: ControllerFixture) -> None:
    await fixture.apply(*quickstart())


async def _upgrade(fixture: ControllerFixture) -> None:
    fixture.stack.latch = Posture.ARMED
    await fixture.apply(*quickstart(image=NEXT_IMAGE))


async def _new_policy(fixture: ControllerFixture) -> None:
    fixture.stack.latch = Posture.ARMED
    await fixture.apply(*quickstart("standard", NEXT_IMAGE))


async def _halt(fixture: ControllerFixture) -> None:
    fixture.stack.latch = Posture.ARMED
    policy = quickstart("standard")[0]
    policy["spec"]["posture"] = "HALTED"
    await fixture.apply(policy)


async def _delete(fixture: ControllerFixture) -> None:
    for item in quickstart():
        if item["kind"] == "TitanPhase":
            await fixture.admin.delete(KINDS["TitanPhase"], item["metadata"]["name"], fixture.namespace)
    for policy in documents("policies/demo.yaml", "policies/standard.yaml"):
        await fixture.admin.delete(KINDS["RiskPolicy"], policy["metadata"]["name"], fixture.namespace)


async def _runs(fixture: ControllerFixture) -> bool:
    return await fixture.settled()


async def _halted(fixture: ControllerFixture) -> bool:
    return fixture.stack.latch is Posture.HALTED and await fixture.settled()


async def _gone(fixture: ControllerFixture) -> bool:
    kinds = ("TitanPhase", "RiskPolicy", "Pod")
    return not [item for kind in kinds for item in await fixture.admin.list(KINDS[kind], fixture.namespace)]


INSTALL = StackAct("install", _install, _runs)
UPGRADE = StackAct("upgrade", _upgrade, _runs)
POLICY_CHANGE = StackAct("policy change", _new_policy, _runs)
HALT = StackAct("halt", _halt, _halted)
DELETE = StackAct("delete", _delete, _gone)
# In this order each finds what it needs.
STACK_ACTS = (INSTALL, UPGRADE, POLICY_CHANGE, HALT, DELETE)
