"""The journal, latch and lease of a real process, after a power cut that keeps only what was synced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.durable.powercut import PowerCutImage
from support.tiers.abilities import skip_without
from titan.domain.enums import Posture
from titan.durable.journal.journal import Journal
from titan.durable.latch import Latch

# Appends forever; says each number after its sync, or where a sync should have been.
CHILD = """
import os, sys
from pathlib import Path
from titan.domain.enums import Posture
from titan.durable.journal.file_ops import OsFiles
from titan.durable.journal.journal import Journal
from titan.durable.latch import Latch

folder, forgets = Path(sys.argv[1]), sys.argv[2] == "forgets"
journal, _, _ = Journal.open(folder / "journal", files=OsFiles())
latch = Latch.load(folder / "latch.json")
latch.raise_to(Posture.ARMED, "test", "n1")
latch.tighten(Posture.HALTED, "test", "stop")
if forgets:
    journal._fdatasync = lambda descriptor: None
while True:
    number = journal.append(b"record %d" % (journal.last_sequence + 1))
    journal.append(b"state")
    journal.sync()
    print(number, flush=True)
"""


@pytest.mark.parametrize("forgets", [False, True])
def test_a_power_cut_keeps_what_was_synced(tmp_path: Path, forgets: bool) -> None:
    try:
        image = PowerCutImage(tmp_path / "powercut")
    except LookupError as error:
        skip_without(str(error))
    state, after = tmp_path / "state", tmp_path / "after"
    state.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(state), "forgets" if forgets else "syncs"],
        env=image.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(40)]
        child.kill()
        acknowledged = int([*told, *child.stdout][-1])
    image.restore(state, after)
    _, records, _ = Journal.open(after / "journal")
    found = list(records)
    assert (len(found) < acknowledged) is forgets
    assert all(payload in (b"state", b"record %d" % sequence) for sequence, payload in found)
    latch = Latch.load(after / "latch.json")
    assert (latch.posture, latch.by) == (Posture.HALTED, "test")
