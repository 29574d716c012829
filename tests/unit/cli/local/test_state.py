from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from support.tiers.abilities import skip_without
from titan.cli.errors import BadInput
from titan.cli.local.state import State, locate, unwritable


def test_directory_is_made_for_its_owner_and_free_again_afterwards(tmp_path: Path) -> None:
    state = State(tmp_path / "deep" / "state")
    with state.hold():
        assert state.path.stat().st_mode & 0o077 == 0
        assert state.supervisor_pid() == os.getpid()
    assert state.supervisor_pid() is None


def test_second_holder_gets_the_process_id_of_the_first(tmp_path: Path) -> None:
    state = State(tmp_path)
    with (
        state.hold(),
        pytest.raises(BadInput, match=rf"in use by another `titan up` \(process {os.getpid()}\)"),
        State(tmp_path).hold(),
    ):
        pass


@pytest.mark.parametrize(
    ("description", "below_a_file"),
    [("a file stands in its place", False), ("a file stands in its parent's place", True)],
)
def test_no_directory_can_be_made(tmp_path: Path, description: str, below_a_file: bool) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with (
        pytest.raises(BadInput, match=r"^--state: .* cannot be written: "),
        State(path / "x" if below_a_file else path).hold(),
    ):
        pass


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> object:
    """Mount a small file system with the options of the test."""
    path = tmp_path / "mounted"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", path], check=False, capture_output=True, text=True
    )
    if made.returncode != 0:
        skip_without(f"the right to mount: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize(
    ("mounted", "message"),
    [("ro", "cannot be written: Read-only file system"), ("size=1m", "is full; 32 MB must be free")],
    indirect=["mounted"],
)
def test_directory_on_a_bad_disk(mounted: Path, message: str) -> None:
    with pytest.raises(BadInput, match=message), State(mounted).hold():
        pass
    assert [path.name for path in mounted.iterdir() if path.name != "lock"] == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "cannot be written: Read-only file system"),
        (errno.EACCES, "cannot be written: Permission denied"),
    ],
)
def test_sentence_of_a_bad_disk(number: int, message: str) -> None:
    assert message in str(unwritable(Path("/x"), OSError(number, os.strerror(number))))


@pytest.mark.parametrize(
    ("description", "option", "environment", "found"),
    [
        ("the flag wins", Path("/a"), "/b", Path("/a")),
        ("then the variable", None, "/b", Path("/b")),
        ("then the default", None, "", Path(".titan")),
    ],
)
def test_locate(
    monkeypatch: pytest.MonkeyPatch, description: str, option: Path | None, environment: str, found: Path
) -> None:
    monkeypatch.setenv("TITAN_STATE", environment)
    assert locate(option).path == found


@pytest.mark.parametrize(
    ("description", "content", "message"),
    [
        ("no stack", None, "holds no stack; `titan up -f policies/demo.yaml -f examples/quickstart.yaml --state"),
        ("torn", "{", "cannot be read"),
        ("something else", "[]", "no plan"),
    ],
)
def test_bad_plan(tmp_path: Path, description: str, content: str | None, message: str) -> None:
    state = State(tmp_path)
    if content is not None:
        state.plan.write_text(content)
    with pytest.raises(BadInput, match=message):
        state.read_plan()
