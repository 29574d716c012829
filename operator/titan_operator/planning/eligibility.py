"""Pure: decide by capital which phases run. Source: domain.md sections 1 and 2, through Brain's own table."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.numbers import ZERO, format_decimal
from titan.risk.allocation import LOWEST_RANK
from titan.risk.parameters import RiskParameters

# Brain allocates by the same numbers, so a phase that the operator starts gets a share at once.
_PARAMETERS = RiskParameters()


def starting_equity(role: str, equity_floor: Decimal) -> Decimal:
    """Return the equity in USDT from which a role runs; 0 where capital does not decide."""
    phase = _PARAMETERS.phases.get(role)
    if phase is None:
        return ZERO
    return equity_floor if phase.rank == LOWEST_RANK else phase.starts_at_equity


def dormant(role: str, equity: Decimal | None, was_dormant: bool | None, equity_floor: Decimal) -> tuple[bool, str]:
    """Decide whether a phase waits for its capital.

    Parameters
    ----------
    equity
        Equity in USDT. None is unknown, which is not zero: the last decision stays.
    was_dormant
        The last decision; None where there is none. A phase that has never run starts with known equity only.
    equity_floor
        The policy's floor in USDT, from which the lowest phase runs.

    Returns
    -------
    tuple
        Whether it is dormant, and one sentence with both numbers; empty where capital does not decide.
    """
    starts = starting_equity(role, equity_floor)
    if starts == ZERO:
        return False, ""
    runs = was_dormant is False
    if equity is None:
        state = "goes on" if runs else "waits"
        return not runs, f"equity is unknown: {role} {state}; it starts at {format_decimal(starts)} USDT"
    # Hysteresis: the loss of one trade must not stop a phase that has just begun.
    held = runs and _PARAMETERS.phases[role].rank != LOWEST_RANK
    least = starts * _PARAMETERS.hysteresis if held else starts
    enough = equity >= least
    relation = "at least" if enough else "below"
    verb = "runs on from" if held else "starts at"
    why = f"equity {format_decimal(equity)} is {relation} {format_decimal(least)} USDT, which {role} {verb}"
    return not enough, why
