from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from titan.domain.enums import Posture
from titan.domain.reasons import Reason
from titan.durable.latch import Latch, LatchRefused, LatchUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "latch.json"


def _full_disk(_path: Path, _data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_new_state_is_close_only_and_never_set(path: Path) -> None:
    latch = Latch.load(path)
    assert (latch.posture, latch.never_set, latch.changed_ns) == (Posture.CLOSE_ONLY, True, 0)
    assert not path.exists()


def test_an_act_is_stored_with_who_why_and_when(path: Path) -> None:
    Latch.load(path, clock=lambda: 17).raise_to(Posture.ARMED, "ana", "n1", "first run", only_if_never_set=True)
    latch = Latch.load(path)
    assert (latch.posture, latch.never_set, latch.by, latch.reason, latch.changed_ns) == (
        Posture.ARMED,
        False,
        "ana",
        "first run",
        17,
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("description", "start", "to", "changes", "end"),
    [
        ("lower", Posture.ARMED, Posture.HALTED, True, Posture.HALTED),
        ("as low", Posture.HALTED, Posture.HALTED, False, Posture.HALTED),
        ("higher is no tightening", Posture.HALTED, Posture.ARMED, False, Posture.HALTED),
        ("lowest", Posture.CLOSE_ONLY, Posture.FLATTEN, True, Posture.FLATTEN),
    ],
)
def test_tighten(path: Path, description: str, start: Posture, to: Posture, changes: bool, end: Posture) -> None:
    latch = Latch.load(path)
    latch.raise_to(Posture.ARMED, "ana", "n1")
    latch.tighten(start, "ana", "start")
    assert latch.tighten(to, "rule", "why") is changes
    again = Latch.load(path)
    assert again.posture is latch.posture is end
    assert again.by == ("rule" if changes else "ana")


def test_the_first_act_counts_also_when_it_lowers_nothing(path: Path) -> None:
    assert Latch.load(path).tighten(Posture.CLOSE_ONLY, "ana", "not yet")
    with pytest.raises(LatchRefused, match="PRECONDITION: the latch was set to CLOSE_ONLY by ana"):
        Latch.load(path).raise_to(Posture.ARMED, "make", "n1", only_if_never_set=True)


def test_a_nonce_works_once_also_after_a_restart(path: Path) -> None:
    latch = Latch.load(path)
    latch.raise_to(Posture.ARMED, "ana", "n1")
    latch.tighten(Posture.HALTED, "ana", "stop")
    for one in (latch, Latch.load(path)):
        with pytest.raises(LatchRefused, match="NONCE_USED: nonce 'n1'") as caught:
            one.raise_to(Posture.ARMED, "mallory", "n1")
        assert caught.value.reason is Reason.NONCE_USED
        assert one.posture is Posture.HALTED
    Latch.load(path).raise_to(Posture.ARMED, "ana", "n2")
    assert Latch.load(path).posture is Posture.ARMED


@pytest.mark.parametrize(
    ("posture", "by", "nonce", "message"),
    [
        (Posture.ARMED, "", "n", "by: ''"),
        (Posture.ARMED, "ana", "", "nonce: ''"),
        (Posture.HALTED, "ana", "n", "posture: HALTED is below CLOSE_ONLY"),
    ],
)
def test_bad_raise(path: Path, posture: Posture, by: str, nonce: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latch.load(path).raise_to(posture, by, nonce)


def test_finished_flatten_is_halted(path: Path) -> None:
    latch = Latch.load(path)
    with pytest.raises(ValueError, match="only FLATTEN can be finished"):
        latch.finish_flatten("flat")
    latch.tighten(Posture.FLATTEN, "ana", "panic")
    latch.finish_flatten("flat")
    stored = Latch.load(path)
    assert (stored.posture, stored.by, stored.reason) == (Posture.HALTED, "ana", "panic; flat")


def test_every_damage_is_halted_with_the_reason(path: Path) -> None:
    latch = Latch.load(path)
    latch.raise_to(Posture.ARMED, "ana", "n1", "go")
    good = path.read_bytes()
    damaged = [good[:cut] for cut in range(len(good))]
    damaged += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for data in damaged:
        path.write_bytes(data)
        found = Latch.load(path)
        assert (found.posture, found.never_set) == (Posture.HALTED, False), data
        assert str(path) in found.reason
    path.write_bytes(good)
    assert Latch.load(path).posture is Posture.ARMED


def test_unreadable_latch_is_halted(path: Path) -> None:
    path.mkdir()
    latch = Latch.load(path)
    assert latch.posture is Posture.HALTED
    assert "cannot be read: Is a directory" in latch.reason


def test_tightening_holds_in_memory_when_the_disk_is_full(path: Path) -> None:
    Latch.load(path).raise_to(Posture.ARMED, "ana", "n1")
    latch = Latch.load(path, write=_full_disk)
    with pytest.raises(LatchUnavailable, match="cannot store HALTED: No space left on device"):
        latch.tighten(Posture.HALTED, "ana", "stop")
    assert latch.posture is Posture.HALTED


def test_nothing_is_raised_that_was_not_stored(path: Path) -> None:
    latch = Latch.load(path, write=_full_disk)
    with pytest.raises(LatchUnavailable, match="cannot store ARMED"):
        latch.raise_to(Posture.ARMED, "ana", "n1")
    assert (latch.posture, latch.never_set) == (Posture.CLOSE_ONLY, True)


def test_a_raise_that_fails_after_the_rename_is_taken_back(path: Path) -> None:
    failures = iter([True, False])

    def write(target: Path, data: bytes) -> None:
        target.write_bytes(data)
        if next(failures):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    latch = Latch.load(path, write=write)
    with pytest.raises(LatchUnavailable):
        latch.raise_to(Posture.ARMED, "ana", "n1")
    assert Latch.load(path).posture is Posture.CLOSE_ONLY
