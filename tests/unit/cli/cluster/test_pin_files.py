"""``policy pin --files``: pins change in place, and nothing else of a file changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.pin_files import pin_files
from titan.cli.errors import BadInput, Refused
from titan_operator.api.loading import load_resources

DEMO, STANDARD = (f"{name}.yaml" for name in ("demo", "standard"))


def name_of(path: Path) -> str:
    (policy,) = load_resources(path.read_text(), path.name)
    return policy.metadata.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for source in (f"policies/{DEMO}", f"policies/{STANDARD}", "examples/quickstart.yaml"):
        shutil.copy(REPOSITORY / source, tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "other.yml").write_text("# not ours\r\nkind: ConfigMap\r\n---\r\n---\r\nkind: [1]\r\n")
    return tmp_path


def test_only_the_pins_change(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.y*ml")}
    reference, (change,) = pin_files(folder, name_of(folder / STANDARD), dry_run=False)
    assert (change.path.name, change.phases) == ("quickstart.yaml", ("execution", "brain", "scavenger"))
    assert reference["name"] == name_of(folder / STANDARD)
    found = load_resources((folder / "quickstart.yaml").read_text(), "quickstart.yaml")
    pins = [one.spec.policy_ref for one in found if hasattr(one.spec, "policy_ref")]
    assert [pin.model_dump() for pin in pins] == [reference] * 3
    differing = [
        line
        for line, old in zip(
            change.path.read_text().splitlines(), before[change.path].decode().splitlines(), strict=True
        )
        if line != old
    ]
    assert len(differing) == 6
    assert {path: path.read_bytes() for path in before if path != change.path} == {
        path: content for path, content in before.items() if path != change.path
    }
    assert pin_files(folder, reference["name"], dry_run=False)[1] == []


def test_there_and_back_is_the_same_file(folder: Path) -> None:
    before = (folder / "quickstart.yaml").read_bytes()
    for policy in (STANDARD, DEMO):
        pin_files(folder, name_of(folder / policy), dry_run=False)
    assert (folder / "quickstart.yaml").read_bytes() == before


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = (folder / "quickstart.yaml").read_bytes()
    (change,) = pin_files(folder, name_of(folder / STANDARD), dry_run=True)[1]
    assert len(change.phases) == 3
    assert (folder / "quickstart.yaml").read_bytes() == before


def test_quotes_comments_and_line_ends_stay(folder: Path) -> None:
    text = (
        "kind: TitanPhase\r\nmetadata: {name: brain} # here\r\n"
        "spec: {policyRef: {hash: 'sha256:old', name: \"old\"}, image: 'a'} # there\r\n"
    )
    (folder / "quickstart.yaml").write_bytes(text.encode())
    reference, _ = pin_files(folder, name_of(folder / DEMO), dry_run=False)
    changed = text.replace("'sha256:old'", reference["hash"]).replace('"old"', reference["name"])
    assert (folder / "quickstart.yaml").read_bytes() == changed.encode()


@pytest.mark.parametrize(
    ("description", "file", "text", "kind", "message"),
    [
        (
            "another hash",
            DEMO,
            ("hash: sha256:3e", "hash: sha256:4e"),
            Refused,
            "the rules hash to sha256:3e.*says sha256:4e",
        ),
        ("no such policy", DEMO, ("name: demo-", "name: omed-"), Refused, "holds no RiskPolicy demo-3e1725d5"),
        ("malformed", "quickstart.yaml", ("spec:", "spec: ["), BadInput, "quickstart.yaml: line .*malformed YAML"),
        ("an alias", "quickstart.yaml", ("mode: paper", "mode: *x"), BadInput, "quickstart.yaml: line .*alias"),
        (
            "half a pin",
            "quickstart.yaml",
            ("    hash: sha256:3e", "    h: sha256:3e"),
            BadInput,
            "execution: spec.policyRef.hash: missing",
        ),
    ],
)
def test_no_file_is_written_when_one_is_invalid(
    folder: Path, description: str, file: str, text: tuple[str, str], kind: type[Exception], message: str
) -> None:
    broken = (folder / file).read_text()
    assert text[0] in broken
    (folder / file).write_text(broken.replace(*text, 1))
    before = {path: path.read_bytes() for path in folder.rglob("*.y*ml")}
    with pytest.raises(kind, match=message):
        pin_files(folder, "demo-3e1725d5", dry_run=False)
    assert {path: path.read_bytes() for path in before} == before


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--files: .*gone is no directory"):
        pin_files(tmp_path / "gone", "demo-3e1725d5", dry_run=False)
