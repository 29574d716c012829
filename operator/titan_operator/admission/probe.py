"""Probe of admission: server-side dry runs show whether the API server refuses unlisted images.

The images policy must refuse a Deployment with a random digest and admit one with a listed digest. Dry runs pass
through all of admission and store nothing. Policies from which the operator is exempt are read instead.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from titan_operator.admission.rules.policies import ADMISSION_POLICIES, policy_problem
from titan_operator.api.names import VERIFIED_IMAGES
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import (
    KINDS,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
)

POLICY = "titan-images"
_NEVER = "it has not been probed yet"


class AdmissionProbe:
    """The admission probe of one namespace.

    Parameters
    ----------
    every_s
        How long a good result is valid, in seconds of ``clock``; after a failed probe the next pass probes again.
    """

    def __init__(self, cluster: Cluster, namespace: str, every_s: float, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._every_s = every_s
        self._clock = clock
        self._probed_at = float("-inf")
        self._listed: frozenset[str] = frozenset()
        self.problem = _NEVER

    async def check(self, listed: dict[str, str]) -> str:
        """Return why admission is not enforced here; empty when it is.

        Parameters
        ----------
        listed
            Images by digest that VerifiedImages lists now; a new one is probed at once.
        """
        images = frozenset(listed.values())
        if not self.problem and images <= self._listed and self._clock() - self._probed_at < self._every_s:
            return ""
        self.problem = await self._probe(sorted(images))
        self._probed_at = self._clock()
        self._listed = images
        return self.problem

    async def _probe(self, images: list[str]) -> str:
        unlisted = f"titan.invalid/unlisted@sha256:{secrets.token_hex(32)}"
        refused = await self._dry_run(unlisted)
        if refused is None:
            return (
                "the API server admits an image that nobody listed (a random digest): "
                f"is the chart titan-admission installed and bound to {self._namespace}?"
            )
        if POLICY not in refused:
            return f"an image that nobody listed is refused, but not by {POLICY}: {refused}"
        for image in images:
            denied = await self._dry_run(image)
            if denied is not None:
                return f"{image} is listed in VerifiedImages {VERIFIED_IMAGES}, but refused: {denied}"
        return await self._check_policies()

    async def _check_policies(self) -> str:
        for name in ADMISSION_POLICIES:
            try:
                policy = await self._cluster.get(VALIDATING_ADMISSION_POLICY, name)
                binding = await self._cluster.get(VALIDATING_ADMISSION_POLICY_BINDING, name)
            except (ApiError, Unreachable) as error:
                return f"whether {name} is in force cannot be read: {error}"
            if problem := policy_problem(name, policy, binding, self._namespace):
                return problem
        return ""

    async def _dry_run(self, image: str) -> str | None:
        try:
            await self._cluster.create(KINDS["Deployment"], _deployment(self._namespace, image), dry_run=True)
        except ApiError as error:
            return error.message
        except Unreachable as error:
            return f"no answer: {error}"
        return None


def _deployment(namespace: str, image: str) -> dict[str, Any]:
    name = f"titan-admission-probe-{secrets.token_hex(4)}"
    labels = {"app.kubernetes.io/name": "titan-admission-probe"}
    container = {
        "name": "admission-probe",
        "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
