"""A control plane with our CRDs, the admission chart over some namespaces, and the operator's ServiceAccount."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager

from testcluster.controlplane import ControlPlane

from support.cluster.controller_fixture import SYSTEM
from support.stack.local_processes import REPOSITORY
from support.tiers.sweeps import CHAOS
from titan_operator.api.names import OPERATOR, PRIORITY_CLASS

# The namespace whose name people use, and one for each life: a sweep has hundreds.
DESK = "desk"
LIVES = [f"life-{number:03}" for number in range(480 if CHAOS else 60)]


def guard(plane: ControlPlane, namespaces: Sequence[str]) -> ControlPlane:
    """Set up an empty control plane; the operator may do everything, for what it may is tested elsewhere."""
    plane.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    plane.kubectl("create", "namespace", SYSTEM)
    plane.kubectl("create", "priorityclass", PRIORITY_CLASS, "--value=1000")
    plane.kubectl("create", "serviceaccount", OPERATOR, "-n", SYSTEM)
    plane.kubectl(
        "create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", f"--serviceaccount={SYSTEM}:{OPERATOR}"
    )
    plane.helm(
        *("install", "titan-admission", str(REPOSITORY / "charts/titan-admission"), "-n", SYSTEM, "--force-conflicts"),
        # The chart takes as many stacks as people have; here there are hundreds.
        *("--set", f"stackNamespaces={{{','.join(namespaces)}}}", "--skip-schema-validation"),
    )
    return plane


@asynccontextmanager
async def beside(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run endless work beside a test. An error of it is raised with the test's own, which it may explain."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        if errors := [error for error in ended if isinstance(error, Exception)]:
            raise ExceptionGroup("work beside the test ended", errors)
