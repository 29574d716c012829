"""What keeps a process from starting for good, and what only until there is room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.durable.lossy_files import LossyFiles
from titan.brain.settings import next_term
from titan.durable import files
from titan.durable.journal.journal import Journal, JournalUnavailable
from titan.runtime.process import StartError, _disk_was_full


def _brain(folder: Path) -> None:
    next_term(str(folder))


def _execution(folder: Path) -> None:
    full = LossyFiles()
    full.capacity_bytes = 0
    try:
        Journal.open(folder, files=full)
    except JournalUnavailable as error:
        raise StartError(error.reason) from error


@pytest.mark.parametrize("start", [_brain, _execution])
@pytest.mark.parametrize(("code", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_full_disk_is_no_end_for_good(
    start: Callable[[Path], None], code: int, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "write_durably", refuse)
    monkeypatch.setattr("titan.brain.settings.write_durably", refuse)
    monkeypatch.setattr(LossyFiles, "pwrite", refuse)
    with pytest.raises(StartError) as error:
        start(tmp_path)
    assert _disk_was_full(error.value) is full
