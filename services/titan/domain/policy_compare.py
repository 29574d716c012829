"""Comparison of two policies: each rule that differs, and whether it got tighter or looser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from titan.domain.policy import PolicyRules
from titan.domain.policy_rules import RULES, Entry, TailMode, VenueFailure

# In both lists the first word allows most and the last one least.
_TAIL_MODES: tuple[TailMode, ...] = ("SHADOW", "ADVISORY", "ENFORCEMENT")
_VENUE_FAILURES: tuple[VenueFailure, ...] = ("close_only", "halt", "flatten")


class Effect(StrEnum):
    """Effect of a changed rule: ``CHANGED`` where neither word is true, or one part is tighter and another looser."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    CHANGED = "changed"


class Difference(msgspec.Struct, frozen=True):
    """One rule that differs: its key and both values in the spelling of a policy document, None where absent."""

    key: str
    before: object
    after: object
    effect: Effect


def differences(before: PolicyRules, after: PolicyRules) -> list[Difference]:
    """List every rule that differs, in the table's order; ``effect`` compares ``after`` with ``before``."""
    changed: list[Difference] = []
    for key, entry in RULES.items():
        old, new = getattr(before, entry.field), getattr(after, entry.field)
        if old != new:
            changed.append(Difference(key, _spelled(entry, old), _spelled(entry, new), EFFECTS[key](old, new)))
    return changed


def _spelled(entry: Entry, value: object) -> object:
    return None if value is None else entry.rule.write(value)


_Comparison = Callable[[Any, Any], Effect]


def _lower_is_tighter(old: Any, new: Any) -> Effect:
    return Effect.TIGHTER if new < old else Effect.LOOSER


def _higher_is_tighter(old: Any, new: Any) -> Effect:
    return Effect.TIGHTER if new > old else Effect.LOOSER


def _fewer_is_tighter(old: tuple[str, ...], new: tuple[str, ...]) -> Effect:
    if set(new) < set(old):
        return Effect.TIGHTER
    return Effect.LOOSER if set(new) > set(old) else Effect.CHANGED


def _later_in(words: tuple[str, ...]) -> _Comparison:
    return lambda old, new: _higher_is_tighter(words.index(old), words.index(new))


def _approval(old: object, new: object) -> Effect:
    if new is None:
        return Effect.TIGHTER
    return Effect.LOOSER if old is None else Effect.CHANGED


# A rule without a row here fails its test, so that each new rule states which way is tighter.
EFFECTS: Mapping[str, _Comparison] = {
    "modes": _fewer_is_tighter,
    "liveApproval": _approval,
    "maxAccountLeverage": _lower_is_tighter,
    "maxMarginLeverage": _lower_is_tighter,
    "maxPositionNotional": _lower_is_tighter,
    "maxTotalNotional": _lower_is_tighter,
    "maxOrderNotional": _lower_is_tighter,
    "maxEntryOrdersPerSymbol": _lower_is_tighter,
    "maxLossPerTrade": _lower_is_tighter,
    "maxDailyLoss": _lower_is_tighter,
    "maxDailyLossFraction": _lower_is_tighter,
    "drawdownCaution": _lower_is_tighter,
    "drawdownDefensive": _lower_is_tighter,
    "drawdownEmergency": _lower_is_tighter,
    "equityFloor": _higher_is_tighter,
    "equityFloorFraction": _higher_is_tighter,
    "maxCorrelation": _lower_is_tighter,
    "correlationPenalty": _lower_is_tighter,  # a factor on the size
    "correlationUnknown": _higher_is_tighter,  # assumed, so a high one refuses
    "maxPhaseCorrelation": _lower_is_tighter,
    "minConfidence": _higher_is_tighter,
    "scoreLift": _lower_is_tighter,  # the expected edge of a score
    "minEdgeToCost": _higher_is_tighter,
    "stopVolatilityMultiple": _higher_is_tighter,  # the least distance of a stop
    "maxSlippage": _lower_is_tighter,
    "maxPriceAgeMs": _lower_is_tighter,
    "maxSignalAgeMs": _lower_is_tighter,
    "latencyReduceMs": _lower_is_tighter,
    "latencyRejectMs": _lower_is_tighter,
    "minTruthScore": _higher_is_tighter,
    "defensiveTruthScore": _higher_is_tighter,
    "minExecutionQuality": _higher_is_tighter,
    "venueErrorsDefensive": _lower_is_tighter,
    "venueErrorsEmergency": _lower_is_tighter,
    "onVenueFailure": _later_in(_VENUE_FAILURES),
    "lossStreakCount": _lower_is_tighter,
    "lossStreakPauseMinutes": _higher_is_tighter,
    "tailMode": _later_in(_TAIL_MODES),
    "twoPersonArm": _higher_is_tighter,
    "symbols": _fewer_is_tighter,
}
