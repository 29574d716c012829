"""Input that ``titan up`` refuses before it writes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from titan.cli.errors import BadInput
from titan.cli.local.prepare import UpOptions, check_market, prepare
from titan.cli.local.state import State
from titan.marketdata.playback_position import PlaybackFile, PlaybackPosition

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


def test_a_market_that_marketdata_would_refuse_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    state, sources = State(tmp_path / "state"), files(tmp_path, None)
    recording = tmp_path / "README.md"
    recording.write_text("# no market")
    prepared = prepare(UpOptions(sources, market_files=(recording,)), state)
    with pytest.raises(BadInput, match=r"README\.md: is neither a gzip recording nor a CSV file"):
        check_market(prepared)
    assert not state.path.exists()


def test_a_state_of_another_market_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    state, sources = State(tmp_path / "state"), files(tmp_path, None)
    folder = state.folder("marketdata")
    folder.mkdir(parents=True)
    file = PlaybackFile(folder / "position.json")
    file.write(PlaybackPosition("another market", 5, 1, 2))
    file.close()
    with pytest.raises(BadInput, match=r"holds another market \(another market, step 5\)"):
        check_market(prepare(UpOptions(sources, seed=2, speed="max"), state))
    (folder / "position.json").write_text("")
    with pytest.raises(BadInput, match=r"position\.json: is empty, so the position of the market is lost"):
        check_market(prepare(UpOptions(sources, speed="max"), state))
    assert [path.name for path in folder.iterdir()] == ["position.json"]
