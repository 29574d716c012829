"""Opening of the market: the source, and the position of an earlier run in it. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from titan.marketdata.playback_position import PlaybackError, PlaybackPosition, read_position
from titan.marketdata.settings import MarketDataSettings
from titan.marketdata.sources.choose import open_source
from titan.recordings.source import MarketSource, SourceError
from titan.runtime.process import StartError

POSITION_FILE = "position.json"


@dataclass(frozen=True)
class OpenedMarket:
    """A source with its identity, and the position ``before``; None where nothing was played yet."""

    source: MarketSource
    identity: str
    before: PlaybackPosition | None
    endless: bool


def position_path(settings: MarketDataSettings) -> Path:
    """The file of the position in the state directory."""
    return Path(settings.state_dir) / POSITION_FILE


def open_market(settings: MarketDataSettings, wall_clock_ns: Callable[[], int]) -> OpenedMarket:
    """Check the settings, open the source, and compare it with the position of an earlier run.

    Raises
    ------
    StartError
        When the source cannot be played, or the state directory holds the position of another market.
    """
    settings.check()
    try:
        before = read_position(position_path(settings))
        source = open_source(settings, before, wall_clock_ns)
    except (SourceError, PlaybackError) as error:
        raise StartError(str(error)) from error
    endless = settings.source == "simulated" and not settings.lockstep
    # A step is the same step only where its length and the end of the market are the same.
    identity = f"{source.identity}, steps of {settings.step_ns} ns, {settings.duration_s} s"
    if endless:
        identity = "simulated in real time"
    if before is not None and before.identity != identity:
        raise StartError(
            f"state_dir: {settings.state_dir!r} holds another market ({before.identity}, step {before.step}) than "
            f"{identity}; allowed is the same market, or another state directory"
        )
    return OpenedMarket(source, identity, before, endless)
