"""Changes of people to a stack of the model."""

from __future__ import annotations

from typing import Any

from support.stack.model import Model, documents
from support.stack.rendered import STACK_ROLES

DEMO = "demo-3e1725d5"


def second_policy() -> dict[str, Any]:
    """Another policy than the quick start's."""
    return documents("policies/standard.yaml")[0]


def pin(model: Model, policy: dict[str, Any], *names: str) -> None:
    """Pin a policy in these phases."""
    reference = {"name": policy["metadata"]["name"], "hash": policy["spec"]["hash"]}
    for name in names:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(policyRef=reference))


def set_image(model: Model, image: str, *names: str) -> None:
    """Set the image of these phases; without a name, of all."""
    for name in names or STACK_ROLES:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(image=image))
