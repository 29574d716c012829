"""One control plane with the admission chart over namespace desk, and ``kubectl titan`` as one of its people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.kubectl_desk import DESK, PEOPLE, ROLES, Run, Stage, phase_manifest, policy_manifest
from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.app import app
from titan.cli.root import run_app


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with our CRDs, the admission chart over namespace desk, and people."""
    with ControlPlane(tmp_path_factory.mktemp("kubectl") / "plane") as made:
        _set_up(made)
        yield made


def _set_up(plane: ControlPlane) -> None:
    crds = REPOSITORY / "crds"
    plane.kubectl("apply", "--server-side", "-f", str(crds))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(crds))
    for name in (DESK, "titan-system"):
        plane.kubectl("create", "namespace", name)
    chart = REPOSITORY / "charts" / "titan-admission"
    plane.helm(
        "install",
        "titan-admission",
        str(chart),
        "-n",
        "titan-system",
        "--skip-crds",
        "--set",
        f"stackNamespaces={{{DESK}}}",
    )
    roles = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": DESK},
            "rules": [{"apiGroups": [group], "resources": kinds, "verbs": verbs} for group, kinds, verbs in rules],
        }
        for name, rules in ROLES.items()
    ]
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))
    for person, given in PEOPLE.items():
        for role in given:
            plane.kubectl("create", "rolebinding", f"{person}-{role}", f"--role={role}", f"--user={person}", "-n", DESK)


@pytest.fixture
def stage(plane: ControlPlane) -> Iterator[Stage]:
    """A whole stack of resources that nothing has looked at."""
    made = Stage(plane)
    made.apply(
        policy_manifest(), phase_manifest("marketdata", None), phase_manifest("brain"), phase_manifest("execution")
    )
    yield made
    made.clear()


@pytest.fixture
def titan(stage: Stage, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(person: str, *arguments: str) -> tuple[int, str, str]:
        where = ("-n", DESK, "--kubeconfig", str(stage.plane.kubeconfig(person)))
        capsys.readouterr()
        code = run_app(app, "kubectl titan", [*arguments, *where])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "-o" in arguments or all(len(line) <= 100 for line in captured.out.splitlines())
        return code, captured.out, captured.err

    return run
