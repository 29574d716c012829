"""Between chart titan and chart titan-data: what the notes and the documentation say to wait with is enough."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.cluster.charts import ROOT
from support.cluster.documented_commands import commands, notes, typed
from support.cluster.installation import SYSTEM, Installation, installation
from support.supplychain.trust_policies import trust_policy

STACK, DATA = "titan", "titan-data"
CHARTS = ROOT / "charts"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The operator as it is shipped, ready, without a trust policy; the data namespace is guarded."""
    with installation(tmp_path_factory.mktemp("pinned"), [STACK], listed=False) as found:
        found.plane.kubectl("create", "namespace", DATA)
        found.plane.helm(
            *("upgrade", "titan-admission", str(CHARTS / "titan-admission"), "-n", SYSTEM, "--reuse-values"),
            *("--set", f"data.namespaces={{{DATA}}}"),
        )
        # A binding is in force a moment after it was written.
        found.wait("the data namespace is guarded", lambda: "titan-images-data" in asked(found, image("0")))
        yield found


def image(digit: str) -> str:
    return f"registry.test/titan/postgresql@sha256:{digit * 64}"


def asked(made: Installation, of: str) -> str:
    """Return the refusal of a dry run of a Deployment of this image; empty if it is admitted."""
    command = ("create", "deployment", "probe", "--image", of, "-n", DATA, "--dry-run=server")
    return made.plane.kubectl(*command, check=False).stderr


def install_data(made: Installation, of: str) -> subprocess.CompletedProcess[str]:
    return made.plane.helm(
        *("upgrade", "--install", "titan-data", str(CHARTS / "titan-data"), "-n", DATA, "--set"),
        f"postgresql.enabled=true,postgresql.image={of}",
        check=False,
    )


def pin(made: Installation, folder: Path, *images: str) -> str:
    """Upgrade chart titan, and return its notes. Its operator is ready all the while: ``--wait`` waits for nothing."""
    values = folder / "trust.yaml"
    values.write_text(yaml.safe_dump({"trustPolicy": trust_policy(infrastructure=list(images))}))
    command = ("upgrade", "titan", str(CHARTS / "titan"), "-n", SYSTEM, "--reuse-values", "-f", str(values), "--wait")
    return notes(made.plane.helm(*command).stdout)


@pytest.mark.slow
def test_after_the_commands_of_the_notes_the_install_is_taken_at_once(made: Installation, tmp_path: Path) -> None:
    refused = install_data(made, image("5"))
    assert refused.returncode != 0
    assert "titan-images-data" in refused.stderr
    said = pin(made, tmp_path, image("5"), image("6"))
    waiting = commands(said.partition("refused until")[2].partition("Next,")[0])
    assert waiting.count("kubectl wait") == 3
    done = typed(made.plane, waiting, tmp_path)
    assert done.returncode == 0, done.stderr
    for one in (image("5"), image("6")):
        taken = install_data(made, one)
        assert taken.returncode == 0, taken.stderr


@pytest.mark.slow
def test_after_those_of_the_documentation_too(made: Installation, tmp_path: Path) -> None:
    pin(made, tmp_path, image("7"))
    (tmp_path / "release.yaml").write_text(f"release:\n  digests:\n    postgresql: sha256:{'7' * 64}\n")
    (waiting,) = (
        block for block in (ROOT / "docs" / "database.md").read_text().split("```") if "kubectl wait verified" in block
    )
    done = typed(made.plane, waiting, tmp_path)
    assert done.returncode == 0, done.stderr
    taken = install_data(made, image("7"))
    assert taken.returncode == 0, taken.stderr


@pytest.mark.slow
def test_what_nobody_pinned_is_waited_for_in_vain(made: Installation, tmp_path: Path) -> None:
    said = pin(made, tmp_path, image("8"))
    waiting = commands(said.partition("refused until")[2].partition("Next,")[0])
    other = waiting.replace("8" * 64, "9" * 64).replace("120s", "3s")
    done = typed(made.plane, other, tmp_path)
    assert done.returncode != 0
    assert "timed out waiting" in done.stderr
    assert "titan-images-data" in install_data(made, image("9")).stderr


def test_without_anything_pinned_the_notes_tell_nothing_to_wait_for(made: Installation) -> None:
    told = made.plane.helm("get", "notes", "titan", "-n", SYSTEM, "--revision", "1").stdout
    assert "Next, a stack" in told
    assert "kubectl wait" not in told
