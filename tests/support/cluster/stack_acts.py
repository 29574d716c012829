"""What people do to a stack in its life, act by act, and when each has come to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from support.cluster.controller_fixture import Scene
from support.stack.model import NEXT_IMAGE, documents, quickstart
from titan.domain.kinds import Posture
from titan_operator.cluster.kinds import KINDS


@dataclass(frozen=True)
class ActOfLife:
    """One act: ``do`` it, and it is through once ``ended``."""

    name: str
    do: Callable[[Scene], Awaitable[None]]
    ended: Callable[[Scene], Awaitable[bool]]


async def _install(scene: Scene) -> None:
    await scene.apply(*quickstart())


async def _upgrade(scene: Scene) -> None:
    scene.told.latch = Posture.ARMED
    await scene.apply(*quickstart(image=NEXT_IMAGE))


async def _new_policy(scene: Scene) -> None:
    scene.told.latch = Posture.ARMED
    await scene.apply(*quickstart("standard", NEXT_IMAGE))


async def _halt(scene: Scene) -> None:
    scene.told.latch = Posture.ARMED
    policy = quickstart("standard")[0]
    policy["spec"]["posture"] = "HALTED"
    await scene.apply(policy)


async def _delete(scene: Scene) -> None:
    for item in quickstart():
        if item["kind"] == "TitanPhase":
            await scene.admin.delete(KINDS["TitanPhase"], item["metadata"]["name"], scene.namespace)
    for policy in documents("policies/demo.yaml", "policies/standard.yaml"):
        await scene.admin.delete(KINDS["RiskPolicy"], policy["metadata"]["name"], scene.namespace)


async def _runs(scene: Scene) -> bool:
    return await scene.settled()


async def _halted(scene: Scene) -> bool:
    return scene.told.latch is Posture.HALTED and await scene.settled()


async def _gone(scene: Scene) -> bool:
    kinds = ("TitanPhase", "RiskPolicy", "Pod")
    return not [item for kind in kinds for item in await scene.admin.list(KINDS[kind], scene.namespace)]


INSTALL = ActOfLife("install", _install, _runs)
UPGRADE = ActOfLife("upgrade", _upgrade, _runs)
POLICY_CHANGE = ActOfLife("policy change", _new_policy, _runs)
HALT = ActOfLife("halt", _halt, _halted)
DELETE = ActOfLife("delete", _delete, _gone)
# In this order each finds what it needs.
LIFE = (INSTALL, UPGRADE, POLICY_CHANGE, HALT, DELETE)
