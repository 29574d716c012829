from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.durable.lossy_files import LossyFiles
from support.durable.segments import FIRST, FOLDER, PAYLOADS
from support.tiers.abilities import needs
from titan.durable.journal.file_ops import OS_FILES
from titan.durable.journal.frames import FRAME_BYTES, FRAMES_OFFSET, MAX_PAYLOAD_BYTES
from titan.durable.journal.journal import Journal, JournalUnavailable


def test_new_journal_is_private_and_counts_from_one(tmp_path: Path) -> None:
    durations: list[int] = []
    journal, records, report = Journal.open(tmp_path / "journal", on_sync=durations.append)
    assert (list(records), report.message) == ([], f"journal {tmp_path / 'journal'}: new")
    assert [journal.append(b"one"), journal.append(b"two")] == [1, 2]
    assert journal.synced_sequence == 0
    journal.sync()
    journal.sync()
    assert (journal.synced_sequence, journal.syncs, len(durations)) == (2, 1, 1)
    journal.append(b"three")
    journal.close()
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700
    (file,) = (tmp_path / "journal").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size == FRAMES_OFFSET + 4 * FRAME_BYTES + len(b"onetwothree")
    again, records, report = Journal.open(tmp_path / "journal")
    assert [tuple(record) for record in records] == [(1, b"one"), (2, b"two"), (3, b"three")]
    assert (report.records, report.carried, report.dropped_bytes) == (3, 0, 0)
    assert again.append(b"four") == 4


def test_one_sync_covers_all_and_syncs_once() -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files)
    for payload in PAYLOADS:
        journal.append(payload)
    before = files.calls.count("fdatasync")
    journal.sync()
    assert (files.calls.count("fdatasync") - before, journal.synced_sequence) == (1, len(PAYLOADS))


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD_BYTES + 1])
def test_payload_out_of_bounds_is_refused_and_harmless(size: int) -> None:
    journal, _, _ = Journal.open(FOLDER, files=LossyFiles())
    with pytest.raises(ValueError, match=f"payload: {size} bytes; allowed are 1 to"):
        journal.append(bytes(size))
    assert journal.append(b"x") == 1


def test_payload_larger_than_a_chunk() -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=512)
    big = bytes(range(256)) * 400
    journal.append(big)
    journal.sync()
    _, records, _ = Journal.open(FOLDER, files=files.kill())
    assert [record.payload for record in records] == [big]


def test_each_opening_begins_a_segment_and_older_ones_are_never_written() -> None:
    files = LossyFiles()
    for number, payload in enumerate(PAYLOADS, start=1):
        before = {name: files.content(FOLDER / name) for name in files.names(FOLDER)}
        journal, records, _ = Journal.open(FOLDER, files=files)
        assert [record.payload for record in records] == PAYLOADS[: number - 1]
        journal.append(payload)
        journal.sync()
        assert {name: files.content(FOLDER / name) for name in before} == before
        assert len(files.names(FOLDER)) == number


def test_a_stopped_predecessor_that_is_resumed_changes_nothing() -> None:
    files = LossyFiles()
    stopped, _, _ = Journal.open(FOLDER, files=files)
    stopped.append(b"synced")
    stopped.sync()
    stopped.append(b"not synced")
    successor, records, report = Journal.open(FOLDER, files=files)
    assert [record.payload for record in records] == [b"synced", b"not synced"]
    assert report.carried == 1
    stopped.append(b"void")
    stopped.sync()
    stopped.append(b"void too")
    assert successor.append(b"third") == 3
    successor.sync()
    stopped.sync()
    _, records, _ = Journal.open(FOLDER, files=files.power_cut(lambda _: 0))
    assert [tuple(record) for record in records] == [(1, b"synced"), (2, b"not synced"), (3, b"third")]


def test_two_that_open_at_once() -> None:
    files = LossyFiles()
    Journal.open(FOLDER, files=files)

    class Late(LossyFiles):
        def link(self, source: Path, target: Path) -> None:
            self.put(target, b"another was faster")
            super().link(source, target)

    late = Late()
    late.put(FIRST, files.content(FIRST))
    with pytest.raises(JournalUnavailable, match="another process opened it at the same time"):
        Journal.open(FOLDER, files=late)


def test_full_disk_fails_the_append_once_and_for_good() -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=1024)
    journal.append(b"x" * 100)
    journal.sync()
    files.capacity_bytes = 1500
    journal.reserve()
    assert not journal.space_problem
    journal.append(b"y" * 700)
    journal.reserve()
    assert "cannot reserve space: No space left on device" in journal.space_problem
    room = journal.room_bytes
    assert room == 1500 - FRAMES_OFFSET - 3 * FRAME_BYTES - 800
    journal.append(b"z" * (room - FRAME_BYTES))
    journal.sync()
    with pytest.raises(JournalUnavailable, match=r"00000001\.journal: cannot write record 4: No space left on device"):
        journal.append(b"too much")
    files.capacity_bytes = 1 << 30
    with pytest.raises(JournalUnavailable, match="cannot write record 4"):
        journal.append(b"no way back")
    _, records, _ = Journal.open(FOLDER, files=files.kill())
    assert len(list(records)) == 3


def test_space_comes_back_before_it_runs_out() -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=1024)
    journal.append(b"x" * 900)
    files.capacity_bytes = 1100
    journal.reserve()
    assert journal.space_problem
    files.capacity_bytes = 1 << 30
    journal.reserve()
    assert not journal.space_problem
    journal.append(b"x" * 900)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO])
@pytest.mark.parametrize("act", ["append", "reserve"])
def test_disk_that_fails_a_write(code: int, act: str) -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=256)
    journal.append(b"x" * 200)
    files.fail["pwrite"] = code
    with pytest.raises(JournalUnavailable, match=os.strerror(code)):
        journal.append(b"x" * 200) if act == "append" else journal.reserve()
    del files.fail["pwrite"]
    assert os.strerror(code) in journal.failed
    with pytest.raises(JournalUnavailable):
        journal.sync()


@pytest.mark.parametrize("call", ["make_folder", "create", "pwrite", "fdatasync", "link", "sync_folder"])
def test_opening_fails_plainly_and_leaves_nothing_half_started(call: str) -> None:
    files = LossyFiles()
    files.fail[call] = errno.EROFS
    with pytest.raises(JournalUnavailable, match=r"journal /journal.*: Read-only file system"):
        Journal.open(FOLDER, files=files)
    del files.fail[call]
    _, records, report = Journal.open(FOLDER, files=files)
    assert list(records) == []
    assert report.records == 0


def test_a_kernel_that_refuses_to_write(tmp_path: Path) -> None:
    journal, _, _ = Journal.open(tmp_path / "journal", chunk_bytes=4096)
    journal.append(b"x" * 1000)
    journal.sync()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        for _ in range(3):
            journal.append(b"x" * 990)
        with pytest.raises(JournalUnavailable, match="File too large"):
            journal.append(b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _, records, _ = Journal.open(tmp_path / "journal")
    assert len(list(records)) >= 1


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match="it is a file, not a folder"):
        Journal.open(tmp_path / "file")
    with pytest.raises(JournalUnavailable, match="No such file or directory"):
        Journal.open(tmp_path / "absent" / "journal")


@needs("a user that a read-only folder holds back", os.geteuid() != 0)
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalUnavailable, match="Permission denied"):
        Journal.open(tmp_path / "journal")


def test_a_closed_journal_refuses_with_its_reason(tmp_path: Path) -> None:
    journal, _, _ = Journal.open(tmp_path / "journal")
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailable, match="it is closed"):
        journal.append(b"x")


def test_the_system_calls_are_the_real_ones() -> None:
    assert (OS_FILES.pwrite, OS_FILES.fdatasync) == (os.pwrite, os.fdatasync)


CHILD = """
import sys
from pathlib import Path
from titan.durable.journal.journal import Journal
journal, records, report = Journal.open(Path(sys.argv[1]), chunk_bytes=8192)
print(sum(1 for _ in records), flush=True)
while True:
    number = journal.append(b"%d " % (journal.last_sequence + 1) * 200)
    journal.append(b"state %d" % number)
    journal.sync()
    print(journal.synced_sequence, flush=True)
"""


def test_kill_dash_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for round_number in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "journal")], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert int(child.stdout.readline()) >= acknowledged
            for _ in range(7 + 11 * round_number):
                acknowledged = int(child.stdout.readline())
            child.kill()
            rest = child.stdout.read().split()
            acknowledged = int(rest[-1]) if rest else acknowledged
    _, records, report = Journal.open(tmp_path / "journal")
    found = list(records)
    assert [record.sequence for record in found] == list(range(1, len(found) + 1))
    assert len(found) >= acknowledged
    assert report.segments == 4
