"""Choice of the source: by the settings and, for recordings, by the content of the files."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from titan.marketdata.playback_position import PlaybackPosition
from titan.marketdata.settings import DEFAULT_SIMULATED_SYMBOLS, MarketDataSettings
from titan.recordings.ohlcv import COLUMNS, OhlcvSource
from titan.recordings.replay import ReplaySource
from titan.recordings.source import MarketSource, SourceError

_GZIP = b"\x1f\x8b"


def open_source(
    settings: MarketDataSettings, before: PlaybackPosition | None, wall_clock_ns: Callable[[], int]
) -> MarketSource:
    """Open the source that the settings name.

    Parameters
    ----------
    settings
        Checked settings.
    before
        Position at the end of an earlier run, if any; a simulation in real time continues from its prices.
    wall_clock_ns
        The machine's UTC nanoseconds: the market time at which a simulation in real time begins.

    Raises
    ------
    SourceError
        When the source cannot be played.
    """
    if settings.source == "replay":
        kinds = [_is_recording(path) for path in settings.paths]
        if all(kinds):
            return ReplaySource(settings.paths, settings.symbols)
        if len(kinds) > 1:
            raise SourceError(f"files: {', '.join(settings.files)}; allowed are gzip recordings, or one CSV file alone")
        return OhlcvSource(settings.paths[0], settings.symbols, settings.bar_quantity == "quote")
    # numpy comes with it: a replay does without its memory and start-up time.
    from titan.marketdata.sources.simulated import FIXED_START_NS, SimulatedSource

    symbols = settings.symbols or DEFAULT_SIMULATED_SYMBOLS
    if settings.lockstep:
        return SimulatedSource(symbols, settings.seed, lambda: FIXED_START_NS)
    if before is None:
        return SimulatedSource(symbols, settings.seed, wall_clock_ns)
    # Another stretch of the same market: other random numbers, else it would repeat itself.
    last_ns, prices = before.market_time_ns, {base: Decimal(price) for base, price in before.prices.items()}
    return SimulatedSource(
        symbols, settings.seed + before.step, lambda: max(wall_clock_ns(), last_ns), prices, before.sequence
    )


def _is_recording(path: Path) -> bool:
    """Whether a file is a websocket recording; False: OHLCV bars."""
    try:
        with path.open("rb") as opened:
            head = opened.read(64)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if head.startswith(_GZIP):
        return True
    if head.startswith(COLUMNS[0].encode()):
        return False
    raise SourceError(f"{path}: is neither a gzip recording nor a CSV file that begins with {','.join(COLUMNS)}")
