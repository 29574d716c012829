"""A control plane with our CRDs, the admission chart over some namespaces, and the operator's ServiceAccount."""

from __future__ import annotations

from collections.abc import Sequence

from testcluster.controlplane import ControlPlane

from support.cluster.engine_scene import SYSTEM
from support.stack import REPOSITORY
from titan_operator.names import OPERATOR, PRIORITY_CLASS


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
        *("--set", f"stackNamespaces={{{','.join(namespaces)}}}"),
    )
    return plane
