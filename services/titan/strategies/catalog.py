"""Strategies by name, for the settings of a phase process."""

from __future__ import annotations

from collections.abc import Callable

from titan.strategies.base import Strategy
from titan.strategies.scavenger.parameters import parse_parameters
from titan.strategies.scavenger.strategy import Scavenger


def _scavenger(parameters: bytes) -> Strategy:
    return Scavenger(parse_parameters(parameters))


# Name → maker from the JSON text of the parameters (empty: all defaults).
STRATEGIES: dict[str, Callable[[bytes], Strategy]] = {"scavenger": _scavenger}


def make_strategy(name: str, parameters: bytes) -> Strategy:
    """Make a strategy.

    Raises
    ------
    ValueError
        One sentence: the name is not known, or a parameter is not allowed.
    """
    maker = STRATEGIES.get(name)
    if maker is None:
        raise ValueError(f"strategy: {name!r} is not known; allowed are {', '.join(sorted(STRATEGIES))}")
    return maker(parameters)
