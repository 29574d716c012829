"""Settings of a phase process, and the strategy that they name."""

from __future__ import annotations

from titan.runtime.policy_file import read_input
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings
from titan.strategies.base import Strategy
from titan.strategies.catalog import make_strategy


class PhaseSettings(ProcessSettings, kw_only=True, frozen=True):
    """``role`` is the phase's id, ``parameters_file`` a JSON object of parameters (empty: the strategy's defaults)."""

    strategy: str = "scavenger"
    parameters_file: str = ""


def load_strategy(settings: PhaseSettings) -> Strategy:
    """Make the strategy that the settings name.

    Raises
    ------
    StartError
        One sentence: the strategy is not known, the file cannot be read, or a parameter is not allowed.
    """
    text = read_input(settings.parameters_file, "parameters_file") if settings.parameters_file else b""
    try:
        return make_strategy(settings.strategy, text)
    except ValueError as error:
        raise StartError(str(error)) from error
