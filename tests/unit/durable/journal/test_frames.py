from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.durable.journal.frames import (
    FRAMES_OFFSET,
    FrameScan,
    ReadAt,
    SegmentHeader,
    decode_frame,
    encode_frame,
    frames_after,
    last_nonzero,
)

U64 = st.integers(0, 2**64 - 1)


def _reading(data: bytes) -> ReadAt:
    return lambda length, offset: data[offset : offset + length]


@given(st.integers(0, 2**32 - 1), U64, U64)
def test_header_round_trip(segment: int, first: int, durable: int) -> None:
    header = SegmentHeader(segment, first, durable)
    assert len(header.encode()) == FRAMES_OFFSET
    assert SegmentHeader.decode(header.encode()) == header


@given(U64, st.integers(0, 1000), st.binary(max_size=300), st.binary(max_size=20))
def test_frame_round_trip_and_only_with_its_seed(sequence: int, back: int, payload: bytes, before: bytes) -> None:
    durable = max(0, sequence - back)
    data = before + encode_frame(sequence, durable, payload, 7)
    frame = decode_frame(_reading(data), len(before), 7)
    assert frame is not None
    assert (frame.sequence, frame.durable_sequence, frame.payload, frame.end) == (sequence, durable, payload, len(data))
    assert decode_frame(_reading(data), len(before), 8) is None
    assert decode_frame(_reading(data[:-1]), len(before), 7) is None


@given(st.binary(max_size=400))
def test_no_frame_is_found_in_noise(noise: bytes) -> None:
    header = SegmentHeader(1, 1, 0)
    scan = FrameScan(_reading(header.encode() + noise), header)
    assert list(scan) == []
    assert scan.end == FRAMES_OFFSET


def test_zeros_are_no_frame() -> None:
    for seed in (0, 1, SegmentHeader(1, 1, 0).seed):
        assert decode_frame(_reading(bytes(100)), 0, seed) is None


@pytest.mark.parametrize(
    ("description", "sequence", "gap"),
    [
        ("just behind", 6, 100),
        ("behind a window of a mebibyte", 6, (1 << 20) + 3),
        ("across the edge of a window", 6, (1 << 20) - 10),
        ("the upper bytes of the sequence change", (1 << 24) + 1, 5000),
    ],
)
def test_a_whole_frame_behind_a_broken_one_is_found(description: str, sequence: int, gap: int) -> None:
    frame = encode_frame(sequence, sequence - 1, b"x" * 40, 3)
    data = b"\xee" * gap + frame + bytes(50)
    first = sequence - 2 if sequence > 1 << 24 else 5
    (found,) = frames_after(_reading(data), 0, len(data), first, 3)
    assert (found.offset, found.sequence) == (gap, sequence)
    assert list(frames_after(_reading(data), 0, len(data), sequence + 1, 3)) == []
    assert list(frames_after(_reading(data), gap + 1, len(data), first, 3)) == []


@pytest.mark.parametrize(("data", "start", "last"), [(b"", 0, 0), (b"ab\0\0", 0, 2), (bytes(9), 4, 4), (b"a\0b", 1, 3)])
def test_last_nonzero(data: bytes, start: int, last: int) -> None:
    assert last_nonzero(_reading(data), start) == (last, len(data))
