"""Share equity among the phases and bound the account leverage by its tier. Source: domain.md section 2.

The hysteresis goes in and comes out: computing an allocation changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from titan.domain.numbers import ONE, ZERO
from titan.risk.parameters import RiskParameters

_MIDDLE_CENTER, _MIDDLE_SLOPE, _MIDDLE_SHARE = Decimal(3_250), Decimal("0.003"), Decimal("0.8")
_UPPER_CENTER, _UPPER_SLOPE, _UPPER_SHARE = Decimal(37_500), Decimal("0.0002"), Decimal("0.5")
_BASE, _REST = Decimal("0.2"), Decimal("0.8")
# The weights' formulas change where these leverage tiers begin: 1,500, 5,000 and 25,000 USDT.
_MIDDLE_TIER, _FLAT_TIER, _UPPER_TIER = 1, 2, 3
# The phase of this rank trades down to the equity floor.
LOWEST_RANK = 1
_WEIGHT_PLACES = Decimal("0.000000001")


class AllocationState(msgspec.Struct, frozen=True):
    """The hysteresis: the entered tier (index into the tiers) and the phases that became eligible."""

    tier: int = 0
    eligible: tuple[str, ...] = ()


class Allocation(msgspec.Struct, frozen=True):
    """Weight by phase (fractions of equity), the reserve of no phase, and the tier's account leverage."""

    weights: dict[str, Decimal]
    reserve: Decimal
    max_leverage: Decimal


def base_weights(equity: Decimal, tier: int) -> tuple[Decimal, Decimal, Decimal]:
    """Compute the weights of ranks 1, 2 and 3 at ``equity`` (USDT) within ``tier``; they sum to 1."""
    if tier >= _UPPER_TIER:
        third = _UPPER_SHARE * _sigmoid(_UPPER_SLOPE * (equity - _UPPER_CENTER))
        return _BASE, _REST - third, third
    if tier >= _FLAT_TIER:
        return _BASE, _REST, ZERO
    if tier >= _MIDDLE_TIER:
        second = _MIDDLE_SHARE * _sigmoid(_MIDDLE_SLOPE * (equity - _MIDDLE_CENTER))
        return ONE - second, second, ZERO
    return ONE, ZERO, ZERO


def allocate(
    equity: Decimal, floor: Decimal, deployed: Sequence[str], state: AllocationState, parameters: RiskParameters
) -> tuple[Allocation, AllocationState]:
    """Share ``equity`` (USDT) among the ``deployed`` phases.

    Parameters
    ----------
    floor
        The equity floor in USDT, from which the lowest phase may trade.

    Returns
    -------
    tuple
        The allocation, and the state for the next call.
    """
    tier = _tier(equity, state.tier, parameters)
    phases = sorted(deployed, key=lambda phase: parameters.phases[phase].rank)
    eligible = tuple(phase for phase in phases if _eligible(equity, floor, phase, state, parameters))
    following = AllocationState(tier, eligible)
    leverage = parameters.leverage_tiers[tier][1]
    weights = dict.fromkeys(phases, ZERO)
    if equity <= ZERO or not eligible:
        return Allocation(weights, ONE, leverage), following
    reserve = ZERO
    for rank, weight in enumerate(base_weights(equity, tier), start=1):
        # A phase that may not trade leaves its share to the highest eligible one below it.
        takers = [phase for phase in eligible if parameters.phases[phase].rank <= rank]
        if takers:
            weights[takers[-1]] += weight
        else:
            reserve += weight
    reserve += _apply_caps(equity, eligible, weights, parameters)
    return Allocation(
        {phase: weight.quantize(_WEIGHT_PLACES) for phase, weight in weights.items()}, reserve, leverage
    ), following


def _apply_caps(
    equity: Decimal, eligible: Sequence[str], weights: dict[str, Decimal], parameters: RiskParameters
) -> Decimal:
    """Move the excess over a phase's cap to the next phase above, then below; return the excess that none can take."""
    caps = {phase: cap for phase in eligible if (cap := parameters.phases[phase].allocation_cap) is not None}
    excesses = {phase: max(ZERO, weights[phase] - cap / equity) for phase, cap in caps.items()}
    for phase, excess in excesses.items():
        weights[phase] -= excess
    left_over = ZERO
    for phase, excess in excesses.items():
        rest = excess
        place = eligible.index(phase)
        for other in (*eligible[place + 1 :], *reversed(eligible[:place])):
            room = rest if other not in caps else max(ZERO, caps[other] / equity - weights[other])
            moved = min(rest, room)
            weights[other] += moved
            rest -= moved
        left_over += rest
    return left_over


def _tier(equity: Decimal, held: int, parameters: RiskParameters) -> int:
    tiers = parameters.leverage_tiers
    entered = max((index for index, (starts, _) in enumerate(tiers) if equity >= starts), default=0)
    while held > entered and equity < tiers[held][0] * parameters.hysteresis:
        held -= 1
    return max(entered, held)


def _eligible(equity: Decimal, floor: Decimal, phase: str, state: AllocationState, parameters: RiskParameters) -> bool:
    if parameters.phases[phase].rank == LOWEST_RANK:
        # By its starting equity, an account that fell below it could never trade again.
        return equity >= floor
    starts = parameters.phases[phase].starts_at_equity
    return equity >= (starts * parameters.hysteresis if phase in state.eligible else starts)


def _sigmoid(value: Decimal) -> Decimal:
    return ONE / (ONE + (-value).exp())
