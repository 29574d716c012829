"""Two clean clones, at different paths and times, with other umasks and nothing cached: the same digests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from releasing.commands import ROOT
from releasing.context import TARGETS

_ROW = re.compile(rf"^({'|'.join(TARGETS)}) .* (sha256:[0-9a-f]{{64}})$", re.MULTILINE)


def _clone(target: Path, source: Path = ROOT) -> Path:
    subprocess.run(["git", "clone", "--quiet", f"file://{source}", str(target)], check=True)
    return target


def _digests(clone: Path, cache: Path, umask: int) -> dict[str, str]:
    done = subprocess.run(
        [str(clone / "ci" / "images"), "build"],
        env={**os.environ, "TITAN_IMAGES_DIR": str(cache), "PYTHON": sys.executable, "PYTHONPATH": ""},
        cwd="/",
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(_ROW.findall(done.stdout))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_clean_clones_make_the_same_images(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "another place" / "with-a-longer-path"
    first = _digests(_clone(one), tmp_path / "cache-one", 0o022)
    # Of the same commit, whatever was committed meanwhile.
    second = _digests(_clone(other, one), tmp_path / "cache-two", 0o077)
    assert set(first) == set(TARGETS)
    assert second == first
    # And a change of what goes in makes another one: of that image only.
    (other / "images" / "services.lock").write_text((ROOT / "images" / "services.lock").read_text() + "# more\n")
    third = _digests(other, tmp_path / "cache-two", 0o077)
    assert {target for target in TARGETS if third[target] != first[target]} == {"services"}
