"""A replay loads only the code that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.market.recordings import spot_lines, write

REPLAY = """
import sys, time
import titan.marketdata.app
from titan.marketdata.settings import MarketDataSettings
from titan.marketdata.sources.choose import open_source

settings = MarketDataSettings(
    role="marketdata", http_port=0, state_dir=".", identity="plain", source="replay", files=(sys.argv[1],)
)
assert list(open_source(settings, None, time.time_ns).events())
sys.exit("numpy is loaded" if "numpy" in sys.modules else 0)
"""


def test_a_replay_does_not_load_numpy(tmp_path: Path) -> None:
    file = write(tmp_path / "a.gz", spot_lines())
    subprocess.run([sys.executable, "-c", REPLAY, str(file)], check=True, timeout=60)
