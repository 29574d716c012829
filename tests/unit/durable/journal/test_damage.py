"""Journals that are cut short or damaged: what is recovered, what is reported, what is refused."""

from __future__ import annotations

import pytest

from support.durable.lossy_files import LossyFiles
from support.durable.segments import FIRST, FOLDER, PAYLOADS, SECOND
from support.tiers.sweeps import swept
from titan.durable.journal.frames import FRAME_BYTES, FRAMES_OFFSET
from titan.durable.journal.journal import Journal, JournalCorrupt, RecoveryReport


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
