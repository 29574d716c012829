"""Other programs' failures as one sentence, and what is kept of what they made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from releasing import commands
from releasing.commands import ReleaseError, key_of, made_once, run


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TITAN_IMAGES_DIR", str(tmp_path))
    return tmp_path / "things"


@pytest.mark.parametrize(
    ("description", "command", "said"),
    [
        ("it is missing", ("titan-no-such-program",), "titan-no-such-program is missing"),
        ("it fails", ("sh", "-c", "echo reason >&2; exit 3"), "exit code 3: reason"),
        ("it fails and says so elsewhere", ("sh", "-c", "echo why; exit 1"), "exit code 1: why"),
        ("it hangs", ("sleep", "30"), "not done within 0 s"),
    ],
)
def test_a_program_that_does_not_do_it(description: str, command: tuple[str, ...], said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        run(*command, within_s=0.3 if "sleep" in command else 20)


def test_it_is_made_once(kept: Path) -> None:
    for expected in (True, False):
        with made_once("things", "key") as (folder, filling):
            assert (filling is not None) is expected
            if filling is not None:
                (filling / "file").write_text("made")
        assert (folder / "file").read_text() == "made"
    with made_once("things", "key", anew=True) as (folder, filling):
        assert filling is not None
        (filling / "file").write_text("again")
    assert (folder / "file").read_text() == "again"


def test_what_failed_is_not_kept(kept: Path) -> None:
    def fill() -> None:
        with made_once("things", "key") as (_, filling):
            assert filling is not None
            (filling / "file").write_text("half")
            raise ReleaseError("the disk is full")

    with pytest.raises(ReleaseError):
        fill()
    assert [path.name for path in kept.iterdir() if path.is_dir()] == []


def test_the_oldest_are_forgotten_but_nothing_young(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_KEPT", 2)
    for number in range(4):
        with made_once("things", f"key{number}"):
            pass
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 4
    long_ago = time.time() - 10_000
    for number in (0, 1):
        os.utime(kept / f"key{number}", (long_ago + number, long_ago + number))
    with made_once("things", "key4"):
        pass
    assert {path.name for path in kept.iterdir() if path.is_dir()} == {"key2", "key3", "key4"}


def test_a_key_is_of_its_parts() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", b"c") == key_of("ab", "c")
