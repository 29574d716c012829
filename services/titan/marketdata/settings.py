"""Settings of the marketdata process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from titan.domain.time import NS_PER_MS
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings

DEFAULT_SIMULATED_SYMBOLS = ("BTC/USDT:USDT", "BTC/USDT")


class MarketDataSettings(ProcessSettings, kw_only=True, frozen=True):
    """The source that marketdata plays, and its speed.

    ``speed`` is ``1`` (real time), a greater number (lockstep, paced) or ``max`` (lockstep, as fast as the
    subscribers). At ``max`` up to ``steps_ahead`` steps are published and not acknowledged; 1 waits for each.
    ``step_ms`` 0 takes the source's own: 50, or 20 for a replay in real time. ``duration_s`` ends any
    source after that much market time; 0 does not. ``symbols`` empty takes all that the files hold, or BTC's perpetual
    and spot. ``bar_quantity`` is the currency of the volume in an OHLCV file.
    """

    source: Literal["simulated", "replay"] = "simulated"
    files: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    seed: int = 1
    speed: str = "1"
    step_ms: int = 0
    steps_ahead: int = 16
    duration_s: int = 0
    required_subscribers: tuple[str, ...] = ()
    bar_quantity: Literal["base", "quote"] = "base"

    @property
    def speed_factor(self) -> float:
        """Market seconds by machine second; 0 means as fast as the subscribers.

        Raises
        ------
        StartError
            When ``speed`` is neither a number from 1 on nor ``max``.
        """
        if self.speed == "max":
            return 0.0
        try:
            factor = float(self.speed)
        except ValueError:
            factor = math.nan
        if not math.isfinite(factor) or factor < 1:
            raise StartError(f"speed: {self.speed!r} is not allowed; allowed are numbers from 1 on, and max")
        return factor

    @property
    def lockstep(self) -> bool:
        """Whether steps wait for acknowledgements: whenever faster than real time."""
        return self.speed_factor != 1.0

    @property
    def step_ns(self) -> int:
        """Length of a step in nanoseconds of market time."""
        default = 20 if self.source == "replay" and not self.lockstep else 50
        return (self.step_ms or default) * NS_PER_MS

    def check(self) -> None:
        """Refuse values out of range and contradictions.

        Raises
        ------
        StartError
            One sentence that names the setting, its value and what is allowed.
        """
        for field, value, low, high in (
            ("step_ms", self.step_ms, 0, 3_600_000),
            ("steps_ahead", self.steps_ahead, 1, 1_000),
            ("duration_s", self.duration_s, 0, 10**9),
            ("seed", self.seed, 0, 2**63 - 1),
        ):
            if not low <= value <= high:
                raise StartError(f"{field}: {value} is not allowed; allowed are {low} to {high}")
        if self.source == "replay" and not self.files:
            raise StartError("files: empty; a replay needs at least one recording")
        if self.source == "simulated" and self.files:
            raise StartError(f"files: {', '.join(self.files)} given, and source is 'simulated'; allowed with 'replay'")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files to replay."""
        return tuple(Path(file) for file in self.files)
