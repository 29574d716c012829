"""One control plane for what the charts render, with the definitions and the charts' namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.charts import NAMESPACES, ROOT


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """It; what a test installs there it also uninstalls."""
    crds = ROOT / "crds"
    with ControlPlane(tmp_path_factory.mktemp("charts") / "plane") as made:
        made.kubectl("apply", "-f", str(crds))  # not server-side: the plain way has to work too
        made.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(crds))
        for name in sorted(set(NAMESPACES.values())):
            made.kubectl("create", "namespace", name)
            made.kubectl("label", "namespace", name, "pod-security.kubernetes.io/warn=restricted")
        yield made
