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
from support.tiers.abilities import needs
from support.tiers.sweeps import swept
from titan.durable.journal.file_ops import OS_FILES
from titan.durable.journal.frames import FRAME_BYTES, FRAMES_OFFSET, MAX_PAYLOAD_BYTES
from titan.durable.journal.journal import Journal, JournalCorrupt, JournalUnavailable, RecoveryReport

FOLDER = Path("/journal")
FIRST, SECOND = FOLDER / "00000001.journal", FOLDER / "00000002.journal"
PAYLOADS = [b"a" * 100, b"b" * 700, b"c", b"d" * 333, b"e" * 50]


def _written(synced: int, count: int = len(PAYLOADS), *, each: bool = False) -> bytes:
    """A segment with ``count`` records of which the first ``synced`` were synced; with ``each``, one at a time."""
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=4096)
    for number, payload in enumerate(PAYLOADS[:count], start=1):
        journal.append(payload)
        if number == synced or (each and number < synced):
            journal.sync()
    return files.content(FIRST)


def _recovered(image: bytes) -> tuple[list[bytes], int]:
    files = LossyFiles()
    files.put(FIRST, image)
    _, records, report = Journal.open(FOLDER, files=files, chunk_bytes=64)
    return [record.payload for record in records], report.dropped_bytes


def _report(image: bytes) -> RecoveryReport:
    files = LossyFiles()
    files.put(FIRST, image)
    return Journal.open(FOLDER, files=files, chunk_bytes=64)[2]


def _ends() -> list[int]:
    ends = [FRAMES_OFFSET]
    for payload in PAYLOADS:
        ends.append(ends[-1] + FRAME_BYTES + len(payload))
    return ends


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


@pytest.mark.parametrize("synced", [0, 3])
def test_recovery_at_every_truncation_byte(synced: int) -> None:
    image, ends = _written(synced), _ends()
    for cut in range(FRAMES_OFFSET, ends[-1] + 40):
        found, _ = _recovered(image[:cut])
        whole = sum(end <= cut for end in ends) - 1
        # A frame declares earlier records durable, never itself: a cut cannot be told from a short write.
        assert found == PAYLOADS[:whole]


def test_a_file_that_ends_neither_in_the_mark_nor_in_zeros_was_cut() -> None:
    files = LossyFiles()
    journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=4096)
    for payload in PAYLOADS:
        journal.append(payload)
    journal.close()
    closed = files.content(FIRST)
    whole = len(closed) - FRAME_BYTES
    assert not _report(closed).cut
    for size in range(FRAMES_OFFSET, len(closed)):
        report = _report(closed[:size])
        assert report.cut, size
        assert f"00000001.journal, {size} bytes, ends neither in the mark" in report.message
        assert f"records after {report.records} may be missing" in report.message
        assert "before its sync" not in report.message
    for zeros in range(FRAME_BYTES + 1):
        assert _report(closed[:whole] + bytes(zeros)).cut is (zeros < FRAME_BYTES)


@pytest.mark.parametrize("synced", [0, 3, 5])
def test_a_process_that_was_killed_leaves_a_mark_or_zeros_at_any_size(synced: int) -> None:
    for chunk in range(FRAME_BYTES, 900, 23):
        files = LossyFiles()
        journal, _, _ = Journal.open(FOLDER, files=files, chunk_bytes=chunk)
        for number, payload in enumerate(PAYLOADS, start=1):
            journal.append(payload)
            if number == synced:
                journal.sync()
            report = _report(files.content(FIRST))
            assert (report.cut, report.records) == (False, number), chunk


def test_a_write_that_a_kill_cut_short_is_no_cut_file() -> None:
    image, ends = _written(3), _ends()
    for offset in range(ends[4] + 1, ends[5]):
        report = _report(image[:offset] + bytes(len(image) - offset))
        assert (report.cut, report.records, report.dropped_frames) == (False, 4, 0)
        assert "cut short before its sync" in report.message or not report.dropped_bytes


def test_the_report_comes_before_anything_is_written() -> None:
    files = LossyFiles()
    files.put(FIRST, _written(3)[: _ends()[2]])

    def refuse(report: RecoveryReport) -> None:
        assert report.cut
        assert files.names(FOLDER) == [FIRST.name]
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        Journal.open(FOLDER, files=files, before_writing=refuse)
    _, _, report = Journal.open(FOLDER, files=files)
    assert report.cut
    _, _, report = Journal.open(FOLDER, files=files)
    assert not report.cut, "the next segment is in order"


def test_truncated_header_is_an_error() -> None:
    image = _written(3)
    for cut in range(FRAMES_OFFSET):
        with pytest.raises(JournalCorrupt, match=r"00000001\.journal is damaged at offset 0.*header has"):
            _recovered(image[:cut])


def test_a_flipped_byte_in_a_synced_record_is_an_error_that_says_where() -> None:
    for image in (_written(5), _written(5, each=True)):
        ends = _ends()
        for offset in swept(range(FRAMES_OFFSET, ends[-1]), 5):
            broken = bytearray(image)
            broken[offset] ^= 0x40
            number = sum(end <= offset for end in ends)
            files = LossyFiles()
            files.put(FIRST, bytes(broken))
            with pytest.raises(JournalCorrupt) as caught:
                Journal.open(FOLDER, files=files)
            assert (caught.value.path, caught.value.offset, caught.value.sequence) == (FIRST, ends[number - 1], number)
            assert f"at offset {ends[number - 1]}, record {number}: " in str(caught.value)
            assert files.content(FIRST) == broken
            assert files.names(FOLDER) == [FIRST.name]


def test_a_flipped_byte_in_an_unsynced_record_ends_the_journal_there() -> None:
    image, ends = _written(3), _ends()
    for offset in swept(range(ends[3], ends[5]), 3):
        broken = bytearray(image)
        broken[offset] ^= 0x40
        found, dropped = _recovered(bytes(broken))
        whole = sum(end <= offset for end in ends) - 1
        assert found == PAYLOADS[:whole]
        assert dropped > 0


def test_flipped_bytes_of_the_header() -> None:
    image = _written(3)
    for offset in range(36):
        broken = bytearray(image)
        broken[offset] ^= 0x40
        with pytest.raises(JournalCorrupt, match=r"header|version|begin with"):
            _recovered(bytes(broken))


@pytest.mark.parametrize("garbage", [b"\xff" * 30, b"\x01\0" * 1000, b"\0\0\0\1"], ids=["ones", "half zeros", "late"])
def test_garbage_behind_the_end_is_dropped_and_reported(garbage: bytes) -> None:
    image, end = _written(5), _ends()[-1]
    files = LossyFiles()
    files.put(FIRST, image[: end + FRAME_BYTES] + garbage)
    _, records, report = Journal.open(FOLDER, files=files)
    assert [record.payload for record in records] == PAYLOADS
    assert f"dropped {report.dropped_bytes} bytes at 00000001.journal, offset {end}" in report.message


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


@pytest.mark.parametrize(
    ("description", "damage", "message"),
    [
        ("a file in the middle is gone", lambda f: f.unlink(SECOND), r"00000002\.journal.*the file is missing"),
        ("the first file is gone", lambda f: f.unlink(FIRST), r"00000001\.journal.*the file is missing"),
        (
            "an older file is shorter than the next one says",
            lambda f: f.put(FIRST, f.content(FIRST)[: FRAMES_OFFSET + 40]),
            r"00000001\.journal is damaged at offset 64, record 1: .*up to 1 were synced",
        ),
        ("two files are exchanged", lambda f: f.put(SECOND, f.content(FIRST)), "does not fit here"),
    ],
)
def test_damage_among_segments(description: str, damage: object, message: str) -> None:
    files = LossyFiles()
    for payload in PAYLOADS[:3]:
        journal, _, _ = Journal.open(FOLDER, files=files)
        journal.append(payload)
        journal.sync()
    damage(files)  # type: ignore[operator]
    with pytest.raises(JournalCorrupt, match=message):
        Journal.open(FOLDER, files=files)


def test_newer_version_is_refused_by_name() -> None:
    image = bytearray(_written(1))
    image[8] = 2
    with pytest.raises(JournalCorrupt, match="of version 2; this program reads version 1"):
        _recovered(bytes(image))


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
