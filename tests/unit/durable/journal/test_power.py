"""Power cuts and kills, over a file system that forgets what was never synced."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.durable.lossy_files import LossyFiles, PowerCut, everything_unsynced, nothing_unsynced
from titan.durable.journal.journal import Journal, JournalUnavailable

FOLDER = Path("/journal")
CHUNK = 2048


class InventedError(AssertionError):
    pass


class LostError(AssertionError):
    pass


class Run:
    """A journal, the records that its user appended, and how many of them were synced."""

    def __init__(self, files: LossyFiles) -> None:
        self.files = files
        self.appended: list[bytes] = []
        self.acknowledged = 0
        self.open()

    def open(self, *, crashed: bool = True) -> None:
        self.journal, records, report = Journal.open(FOLDER, files=self.files, chunk_bytes=CHUNK)
        recovered = [record.payload for record in records]
        if recovered != self.appended[: len(recovered)]:
            raise InventedError(f"{recovered} is no beginning of {self.appended}")
        if len(recovered) < self.acknowledged:
            raise LostError(f"{len(recovered)} of {self.acknowledged} acknowledged records")
        assert report.records == len(recovered) == self.journal.synced_sequence
        assert crashed or not report.cut, report.message
        # The user continues from the recovered records, which are durable.
        self.appended = recovered
        self.acknowledged = len(recovered)

    def do(self, action: tuple[str, int]) -> None:
        name, number = action
        if name == "append":
            payload = random.Random(number + len(self.appended)).randbytes(number)
            # After a cut in the middle of the call the record may exist, too.
            self.appended.append(payload)
            assert self.journal.append(payload) == len(self.appended)
        elif name == "sync":
            self.journal.sync()
            self.acknowledged = len(self.appended)
        elif name == "reserve":
            self.journal.reserve()
        elif name == "close":
            self.journal.close()
            self.acknowledged = len(self.appended)
            self.files = self.files.power_cut(nothing_unsynced)
            self.open(crashed=False)
        elif name == "kill":
            everything = self.appended
            self.files = self.files.kill()
            self.open(crashed=False)
            assert self.appended == everything
        elif name == "cut":
            rng = random.Random(number)
            self.files = self.files.power_cut(rng.randrange)
            self.open()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 1500)),
        st.tuples(st.sampled_from(["sync", "sync", "reserve", "kill", "close"]), st.just(0)),
        st.tuples(st.just("cut"), st.integers(0, 2**32)),
    ),
    max_size=30,
)


@given(ACTIONS)
def test_nothing_acknowledged_is_lost_and_nothing_is_invented(actions: list[tuple[str, int]]) -> None:
    run = Run(LossyFiles())
    for action in actions:
        run.do(action)
    run.do(("cut", 7))


SCENARIO = [
    *[("append", 700), ("append", 90), ("sync", 0), ("append", 1400), ("append", 300), ("sync", 0)],
    *[("append", 5), ("kill", 0), ("append", 600), ("append", 40), ("sync", 0), ("append", 900), ("append", 20)],
]


def _cut_at_call(number: int, seed: int, *, syncs_work: bool = True) -> bool:
    """Cut the power at a call of the scenario, go on, cut again. Return whether the scenario has so many calls."""
    files = LossyFiles(syncs_work=syncs_work)
    files.cut_after = number
    run = Run.__new__(Run)
    run.files, run.appended, run.acknowledged = files, [], 0
    try:
        run.open()
        for action in SCENARIO:
            if action[0] == "kill":
                counted = run.files.cut_after
                run.files = run.files.kill()
                run.files.cut_after = counted
                run.open()
            else:
                run.do(action)
    except PowerCut:
        pass
    else:
        return False
    run.do(("cut", seed))
    for action in [("append", 33), ("sync", 0), ("append", 700), ("cut", seed + 1)]:
        run.do(action)
    return True


def test_power_cut_at_every_file_call() -> None:
    number = 0
    while all(_cut_at_call(number, seed) for seed in range(12)):
        number += 1
    assert number > 30


def test_a_journal_whose_sync_does_nothing_fails_the_same_test() -> None:
    def all_cuts() -> None:
        for number in range(100):
            for seed in range(12):
                _cut_at_call(number, seed, syncs_work=False)

    with pytest.raises(LostError):
        all_cuts()


class ForgetsToSync(LossyFiles):
    """The folder and the new segment reach the disk; the syncs of records do not."""

    forget = False

    def fdatasync(self, descriptor: int, /) -> None:
        if not self.forget:
            super().fdatasync(descriptor)


@pytest.mark.parametrize(("forget", "lost"), [(False, False), (True, True)])
def test_only_the_sync_of_records_saves_them(forget: bool, lost: bool) -> None:
    files = ForgetsToSync()
    run = Run(files)
    files.forget = forget
    run.do(("append", 100))
    run.do(("sync", 0))
    run.files = files.power_cut(nothing_unsynced)
    if lost:
        with pytest.raises(LostError):
            run.open()
    else:
        run.open()


def test_unsynced_frames_that_reached_the_disk_out_of_order_are_no_corruption() -> None:
    run = Run(LossyFiles())
    for size in (600, 600, 600, 600):
        run.do(("append", size))
    # Of the first sectors, the disk has nothing; of the later ones, everything: whole frames follow a broken one.
    seen = iter([0, 0, *[1] * 20])
    run.files = run.files.power_cut(lambda versions: (versions - 1) * next(seen))
    journal, records, report = Journal.open(FOLDER, files=run.files, chunk_bytes=CHUNK)
    assert list(records) == []
    assert report.dropped_frames >= 2
    assert "cut short" in report.message
    assert journal.append(b"x") == 1


def test_unsynced_records_survive_a_power_cut_that_spared_them() -> None:
    run = Run(LossyFiles())
    run.do(("append", 600))
    run.files = run.files.power_cut(everything_unsynced)
    run.open()
    assert len(run.appended) == 1


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_failed_sync_is_never_taken_for_done(code: int) -> None:
    run = Run(LossyFiles())
    run.do(("append", 100))
    run.do(("sync", 0))
    run.do(("append", 200))
    run.files.fail["fdatasync"] = code
    with pytest.raises(JournalUnavailable, match=r"cannot sync.*no record after 1 may be taken for written"):
        run.journal.sync()
    del run.files.fail["fdatasync"]
    for act in (run.journal.sync, run.journal.reserve, lambda: run.journal.append(b"x")):
        with pytest.raises(JournalUnavailable, match="cannot sync"):
            act()
    assert run.journal.synced_sequence == 1
    # The kernel takes the lost pages for clean. The next opening writes them again, so that they are durable then.
    run.files = run.files.kill()
    run.open()
    assert len(run.appended) == run.acknowledged == 2
    run.files = run.files.power_cut(nothing_unsynced)
    run.open()
    assert len(run.appended) == 2
