"""The price path: driftless, with volatility that clusters and rare jumps of both signs.

Log volatility is a sum of mean-reverting waves of very different speeds, which makes its memory decay slowly as the
recorded one does. The path is a martingale: nothing in it predicts its direction.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from titan.marketdata.simulation.parameters import PriceParameters, Wave

Floats = NDArray[np.float64]

GRID_MS = 10
GRID_PER_S = 1000 // GRID_MS
BASIS_PER_S = 10
BPS = 1e-4


class PriceBlock(msgspec.Struct, frozen=True):
    """Some seconds of the path on a grid of 10 ms.

    ``log_price`` and ``basis`` (a fraction) have one value a grid point, from the block's first instant on;
    ``volatility`` one a second, relative to the median.
    """

    log_price: Floats
    basis: Floats
    volatility: Floats


class PricePath:
    """One base currency's path, block by block, from one random stream.

    A run begins at median volatility and at the mean of the basis, so that the first minute is a typical one.
    """

    def __init__(self, rng: np.random.Generator, parameters: PriceParameters, price: float) -> None:
        self._rng = rng
        self._parameters = parameters
        self._log_price = math.log(price)
        self._waves = [_Wave(wave, 1.0) for wave in parameters.waves]
        self._basis_waves = [_Wave(wave, 1.0 / BASIS_PER_S) for wave in parameters.basis_waves]

    @property
    def price(self) -> float:
        """Price after the last block, in quote units."""
        return math.exp(self._log_price)

    def block(self, seconds: int) -> PriceBlock:
        """Extend the path by ``seconds``."""
        rng, parameters = self._rng, self._parameters
        waves = sum((wave.path(rng, seconds) for wave in self._waves), start=np.zeros(seconds))
        volatility = np.exp(waves)
        deviation = volatility * (parameters.volatility_bps * BPS / math.sqrt(GRID_PER_S))
        # Half of the variance is taken off, so that the price itself, not its logarithm, has no drift.
        steps = rng.standard_normal((seconds, GRID_PER_S)) * deviation[:, None] - (deviation**2 / 2)[:, None]
        path = steps.ravel()
        jumps = int(rng.poisson(parameters.jumps_per_hour * seconds / 3600))
        if jumps:
            sizes = parameters.jump_bps * BPS * (1 + rng.pareto(parameters.jump_tail, jumps))
            np.add.at(path, rng.integers(0, path.size, jumps), sizes * rng.choice((-1.0, 1.0), jumps))
        log_price = self._log_price + np.cumsum(path)
        self._log_price = float(log_price[-1])
        points = seconds * BASIS_PER_S
        basis = sum((wave.path(rng, points) for wave in self._basis_waves), start=np.full(points, parameters.basis_bps))
        return PriceBlock(log_price, np.repeat(basis * BPS, GRID_PER_S // BASIS_PER_S), volatility)


class _Wave:
    """A mean-reverting random walk around 0, in steps of ``step_s`` seconds."""

    def __init__(self, wave: Wave, step_s: float) -> None:
        self._keep = 0.5 ** (step_s / wave.half_life_s)
        self._impulse = wave.deviation * math.sqrt(1 - self._keep**2)
        self._value = 0.0

    def path(self, rng: np.random.Generator, length: int) -> Floats:
        value, keep = self._value, self._keep
        values = []
        for impulse in (rng.standard_normal(length) * self._impulse).tolist():
            value = value * keep + impulse
            values.append(value)
        self._value = value
        return np.array(values)
