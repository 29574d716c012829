"""A simulated book around a moving best price: one level a slot of price, a few of which change at a time."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from titan.domain.instruments import Instrument
from titan.domain.market import Level
from titan.marketdata.simulation.parameters import FlowParameters
from titan.marketdata.simulation.price import Floats

# Levels this many slots beyond the last one are taken out of the book.
_SLACK_SLOTS = 16
# Spreads levels over the ticks of their slots; any odd number with mixed bits would do.
_MIX = 2654435761


class SimulatedSide:
    """Bids (``direction`` 1) or asks (-1) in whole ticks and quantity steps.

    The mean size of a level follows the depth the parameters ask for at its distance from the best price.
    """

    def __init__(self, instrument: Instrument, flow: FlowParameters, price: float, direction: int) -> None:
        self._instrument = instrument
        self._flow = flow
        self._direction = direction
        self._slot_ticks = max(2, round(price * flow.slot_bps * 1e-4 / float(instrument.tick_size)))
        edges = np.arange(flow.slots + 1) * flow.slot_bps
        notionals = np.diff(flow.depth_1bp * edges**flow.depth_power)
        self._mean_steps: Floats = notionals / (price * float(instrument.quantity_step))
        self._levels: dict[int, int] = {}
        self._best = 0

    def update(self, best: int, best_steps: int, chances: Floats, sizes: Floats) -> list[Level]:
        """Move to a new best price and return what changed.

        Parameters
        ----------
        best, best_steps
            The best price in ticks and its size in quantity steps.
        chances
            A uniform number a slot: which levels change without need.
        sizes
            A positive factor a slot, for levels that are new or change.
        """
        levels, direction, width = self._levels, self._direction, self._slot_ticks
        horizon = best - direction * width * (self._flow.slots + _SLACK_SLOTS)
        changed = dict.fromkeys(
            [tick for tick in levels if (tick - best) * direction > 0 or (tick - horizon) * direction < 0], 0
        )
        if self._best in levels and self._best != best:
            changed[self._best] = 0
        changed[best] = best_steps
        slot = best // width
        steps = np.maximum(1, self._mean_steps * sizes).astype(np.int64).tolist()
        refresh = (chances < self._flow.refresh).tolist()
        for index in range(self._flow.slots):
            own = slot - direction * (index + 1)
            tick = own * width + own * _MIX % width
            if tick not in levels or refresh[index]:
                changed[tick] = steps[index]
        self._best = best
        for tick, quantity in changed.items():
            if quantity:
                levels[tick] = quantity
            else:
                levels.pop(tick, None)
        return self._as_levels(changed)

    def _as_levels(self, steps: dict[int, int]) -> list[Level]:
        tick_size, quantity_step = self._instrument.tick_size, self._instrument.quantity_step
        ordered = sorted(steps, reverse=self._direction > 0)
        return [Level(Decimal(tick) * tick_size, Decimal(steps[tick]) * quantity_step) for tick in ordered]
