from __future__ import annotations

from pathlib import Path

import pytest

from titan.cli.local.logs import readable, tail


@pytest.mark.parametrize(
    ("description", "line", "shown"),
    [
        (
            "a line of ours",
            '{"timestamp": "2024-08-08T23:54:15Z", "level": "info", "event": "started", "role": "brain", "pid": 7}',
            "2024-08-08T23:54:15Z info    started pid=7",
        ),
        ("a trace follows its line", '{"event": "broke", "level": "error", "exception": "Traceback"}', "Traceback"),
        ("no JSON stays as it is", "Fatal Python error", "Fatal Python error"),
        ("JSON of somebody else stays too", '{"a": 1}', '{"a": 1}'),
        ("a number is JSON too", "12", "12"),
    ],
)
def test_readable(description: str, line: str, shown: str) -> None:
    assert readable(line).endswith(shown)


@pytest.mark.parametrize(
    ("description", "lines", "first", "count"),
    [
        ("the last few", 3, "line 99997", 3),
        ("none", 0, None, 0),
        ("more than one read from the back", 20_000, "line 80000", 20_000),
        ("more than there are", 200_000, "line 0", 100_000),
    ],
)
def test_tail(tmp_path: Path, description: str, lines: int, first: str | None, count: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    read = tail(path, lines, path.stat().st_size)
    assert (read[0] if read else None, len(read)) == (first, count)
