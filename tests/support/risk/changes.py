"""Changes of an armed book, of which a row of a table names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.risk.scene import budget
from titan.risk.state import RiskState

Change = Callable[[RiskState], Any]


def setting(**values: Any) -> Change:
    """Of the book itself."""

    def change(made: RiskState) -> None:
        for name, value in values.items():
            setattr(made, name, value)
        made.refresh()

    return change


def phase(**values: Any) -> Change:
    """Of what it knows of the scavenger."""

    def change(made: RiskState) -> None:
        for name, value in values.items():
            setattr(made.phases["scavenger"], name, value)

    return change


def leased(**values: Any) -> Change:
    """Of the scavenger's budget."""
    return phase(budget=budget(**values))


def nothing(_made: RiskState) -> None:
    """Leave it as it is."""
