"""Recorded markets: the cut that the repository carries, or the whole files under TITAN_CHAOS=1.

The whole files are taken from TITAN_DATA_DIR, else from ``../shared/data``; where they are absent, the cut is used
there too. ``tests/data/recordings/README.md`` names their origin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.stack.local_processes import REPOSITORY
from support.tiers.sweeps import CHAOS

FUTURES = "examples_usdm_btcusdt_20240808.gz"
SPOT = "examples_spot_btcusdt_20240808.gz"


@dataclass(frozen=True)
class Recorded:
    """Recordings of one market, and what is known of them.

    Parameters
    ----------
    folder
        The folder of both books.
    bars
        A file of OHLCV bars with quote volume.
    counts
        For the file names of a replay: its events, and the books in it that the venue's own tickers confirm.
    hold_ms, cooldown_ms
        Parameters with which the demo strategy opens and closes positions within the recording.
    bar
        A setup score that some of its entries reach and others do not.
    entries
        Least number of entries that the strategy drafts.
    speed
        Of a replay that lasts long enough for each process to be killed in it.
    moments
        Events at which processes are killed: the first trade is made, and the last one killed comes back in time.
    kills
        How often each process is killed in one replay.
    """

    folder: Path
    bars: str
    counts: Mapping[tuple[str, ...], tuple[int, int]]
    hold_ms: int
    cooldown_ms: int
    bar: float
    entries: int
    speed: str
    moments: range
    kills: int

    @property
    def books(self) -> list[Path]:
        """The perpetual's and the spot market's recording."""
        return [self.folder / FUTURES, self.folder / SPOT]

    @property
    def events(self) -> int:
        """Number of events of both books in one replay."""
        return self.counts[FUTURES, SPOT][0]

    @property
    def checked(self) -> int:
        """Number of books that are confirmed in one replay of both."""
        return self.counts[FUTURES, SPOT][1]


CUT = Recorded(
    folder=REPOSITORY / "tests" / "data" / "recordings",
    bars="btcusdt_perp_20240808_1s.csv",
    counts={(FUTURES,): (4_542, 379), (SPOT,): (2_196, 208), (FUTURES, SPOT): (6_738, 587)},
    hold_ms=3_000,
    cooldown_ms=500,
    bar=0.7,
    entries=2,
    speed="1",
    # The first entry is drafted at event 3,720.
    moments=range(4_000, 5_500),
    kills=1,
)
WHOLE = Recorded(
    folder=Path(os.environ.get("TITAN_DATA_DIR") or REPOSITORY.parent / "shared" / "data"),
    bars="btc-perp-20211231-20220201_1m.csv",
    counts={(FUTURES,): (93_950, 6_547), (SPOT,): (41_247, 3_449), (FUTURES, SPOT): (135_197, 9_996)},
    hold_ms=30_000,
    cooldown_ms=5_000,
    bar=0.6,
    entries=3,
    speed="max",
    moments=range(1_000, 125_000),
    kills=2,
)
RECORDED = WHOLE if CHAOS and all(path.is_file() for path in [*WHOLE.books, WHOLE.folder / WHOLE.bars]) else CUT
