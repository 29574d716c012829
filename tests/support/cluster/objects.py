"""RiskPolicies and TitanPhases as an API server returns them, with the status that an operator would have written."""

from __future__ import annotations

from typing import Any

import yaml

from support.stack.local_processes import REPOSITORY

RULES: dict[str, Any] = yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())["spec"]["rules"]
HASH = str(yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())["spec"]["hash"])
OTHER_HASH = "sha256:" + "0" * 64
IMAGE = "registry.example/titan@sha256:" + "a" * 64


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason or kind, "message": message or f"{kind} says {status}"}


def _metadata(name: str, *, deleting: bool, created: str = "") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "desk", "generation": 3, "uid": f"uid-{name}"}
    if created:
        metadata["creationTimestamp"] = created
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-03T12:00:00Z"
    return metadata


def policy(
    name: str,
    *,
    posture: str = "CLOSE_ONLY",
    policy_hash: str = HASH,
    act: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    deleting: bool = False,
) -> dict[str, Any]:
    """A RiskPolicy with the demo policy's rules; ``name`` is taken as it is."""
    found: dict[str, Any] = {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "RiskPolicy",
        "metadata": _metadata(name, deleting=deleting),
        "spec": {"rules": dict(RULES), "hash": policy_hash, "posture": posture},
    }
    if act is not None:
        found["spec"]["act"] = act
    if status is not None:
        found["status"] = {"observedGeneration": 3, **status}
    return found


def phase(
    role: str,
    *,
    pin: str | None = "demo",
    ready: tuple[str, str] = ("True", "Ready"),
    conditions: list[dict[str, str]] | None = None,
    status: dict[str, Any] | None = {},  # noqa: B006 - never changed; None is "no status at all"
    allocation: str | None = None,
    observed: bool = True,
    deleting: bool = False,
    created: str = "",
) -> dict[str, Any]:
    """A TitanPhase named as its role; ``pin`` None is a role that pins no policy, ``status`` None a new object."""
    spec: dict[str, Any] = {"role": role, "image": IMAGE}
    if pin is not None:
        spec |= {"policyRef": {"name": pin, "hash": HASH}, "mode": "paper"}
    found: dict[str, Any] = {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "TitanPhase",
        "metadata": _metadata(role, deleting=deleting, created=created),
        "spec": spec,
    }
    if status is not None:
        said = [*(conditions or ()), condition("Ready", *ready)]
        found["status"] = {"observedGeneration": 3 if observed else 2, "conditions": said, **status}
        if allocation is not None:
            found["status"]["allocation"] = allocation
    return found
