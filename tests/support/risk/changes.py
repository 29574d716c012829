"""Changes of an armed risk state; each row of a table of cases names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.risk.scene import NOW, budget
from titan.risk.state import RiskState

Change = Callable[[RiskState], Any]


def setting(**values: Any) -> Change:
    """Set attributes of the risk state."""

    def change(made: RiskState) -> None:
        for name, value in values.items():
            setattr(made, name, value)
        made.refresh()

    return change


def phase(**values: Any) -> Change:
    """Set attributes of the scavenger's state."""

    def change(made: RiskState) -> None:
        for name, value in values.items():
            setattr(made.phases["scavenger"], name, value)

    return change


def granted(**values: Any) -> Change:
    """Give the scavenger a budget with these values."""
    return phase(budget=budget(**values))


def unchanged(_made: RiskState) -> None:
    """Change nothing."""


def explored(made: RiskState) -> None:
    """Take all lots of the day by which the scavenger may explore its setup."""
    for _ in range(made.limits.explorations_per_day):
        made.frequency.add_explored("scavenger", "breakout", NOW)
