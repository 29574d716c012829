"""Input that ``titan up`` refuses before it writes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from titan.cli.errors import BadInput
from titan.cli.local.prepare import UpOptions, prepare
from titan.cli.local.state import State

ROOT = Path(__file__).resolve().parents[4]


def files(folder: Path, act: dict[str, str] | None) -> tuple[Path, ...]:
    policies = list(yaml.safe_load_all((ROOT / "policies/demo.yaml").read_text()))
    if act is not None:
        policies[0]["spec"]["act"] = act
    written = folder / "policy.yaml"
    written.write_text(yaml.safe_dump_all(policies))
    return (written, ROOT / "examples/quickstart.yaml")


def test_act_in_a_file_is_refused(tmp_path: Path) -> None:
    sources = files(tmp_path, {"verb": "halt", "nonce": "n0123456", "by": "ana"})
    with pytest.raises(BadInput, match=r"spec\.act: halt is for the operator of .* `titan halt`"):
        prepare(UpOptions(sources), State(tmp_path / "state"))
    assert not (tmp_path / "state").exists()


def test_without_an_act_the_same_files_make_a_plan(tmp_path: Path) -> None:
    assert "execution" in prepare(UpOptions(files(tmp_path, None)), State(tmp_path / "state")).roles
