"""Which part enforces each rule of a policy, and which rules no part enforces: the one table.

A rule counts as enforced when a value outside it changes a verdict. One whose input nothing measures yet counts too,
where the part that reads it fails closed. A test changes each rule and compares the verdicts with this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from titan.domain.policy_rules import PolicyRules


class Enforcement(msgspec.Struct, frozen=True):
    """The part that enforces a rule; ``gap`` describes what is missing under these rules, or returns None."""

    by: str
    gap: Callable[[PolicyRules], str | None] | None = None


class Gap(msgspec.Struct, frozen=True):
    """A rule that is not enforced, and why."""

    rule: str
    why: str

    @property
    def sentence(self) -> str:
        """Rule and reason, for people."""
        return f"{self.rule}: {self.why}"


def _always(why: str) -> Callable[[PolicyRules], str | None]:
    return lambda _rules: why


def _no_alerts(rules: PolicyRules) -> str | None:
    return "ADVISORY: nothing estimates tails, so nobody is alerted" if rules.tail_mode == "ADVISORY" else None


ENFORCED_BY: Mapping[str, Enforcement] = {
    "modes": Enforcement("gate LiveApproved, guard 4 (symbol), Execution's intake"),
    "liveApproval": Enforcement("gate LiveApproved, guard 4 (symbol), Execution's intake"),
    "maxAccountLeverage": Enforcement("budgets, guard 16 (leverage)"),
    "maxMarginLeverage": Enforcement("margin setting of the venue, guard 16 (leverage)"),
    "maxPositionNotional": Enforcement("guard 15 (notionals)"),
    "maxTotalNotional": Enforcement("guard 15 (notionals)"),
    "maxOrderNotional": Enforcement("guard 15 (notionals)"),
    "maxEntryOrdersPerSymbol": Enforcement("guard 18 (entry_orders)"),
    "maxLossPerTrade": Enforcement("guard 17 (losses)"),
    "maxDailyLoss": Enforcement("guard 17 (losses), risk level"),
    "maxDailyLossFraction": Enforcement("guard 17 (losses), risk level"),
    "drawdownCaution": Enforcement("risk level"),
    "drawdownDefensive": Enforcement("risk level"),
    "drawdownEmergency": Enforcement("risk level"),
    "equityFloor": Enforcement("risk level, allocation"),
    "equityFloorFraction": Enforcement("risk level, allocation"),
    "maxCorrelation": Enforcement("guard 14 (correlation)"),
    "correlationPenalty": Enforcement("guard 14 (correlation)"),
    "correlationUnknown": Enforcement("guard 14 (correlation), for every two assets: none is estimated"),
    "maxPhaseCorrelation": Enforcement("nothing", _always("no part compares the daily results of phases yet")),
    "minConfidence": Enforcement("guard 7 (score)"),
    "scoreLift": Enforcement("guard 8 (edge)"),
    "minEdgeToCost": Enforcement("guard 8 (edge)"),
    "stopVolatilityMultiple": Enforcement("guard 9 (volatility)"),
    "maxSlippage": Enforcement("Execution's intake: limit of an opening order"),
    "maxPriceAgeMs": Enforcement("guard 5 (price_age), Execution's intake"),
    "maxSignalAgeMs": Enforcement("guard 1 (intent)"),
    "latencyReduceMs": Enforcement("guard 10 (latency)"),
    "latencyRejectMs": Enforcement("guard 10 (latency)"),
    "minTruthScore": Enforcement("guard 6 (truth), arming"),
    "defensiveTruthScore": Enforcement("risk level"),
    "minExecutionQuality": Enforcement("guard 11 (quality)"),
    "venueErrorsDefensive": Enforcement("Execution's posture"),
    "venueErrorsEmergency": Enforcement("Execution's latch"),
    "onVenueFailure": Enforcement("Execution's latch"),
    "lossStreakCount": Enforcement("guard 2 (posture)"),
    "lossStreakPauseMinutes": Enforcement("guard 2 (posture)"),
    "tailMode": Enforcement("guard 13 (tail): ENFORCEMENT takes the throttle's minimum", _no_alerts),
    "twoPersonArm": Enforcement("arming, which is refused: no second person can be proved yet"),
    "symbols": Enforcement("guard 4 (symbol), Execution's intake"),
}


def gaps(rules: PolicyRules) -> tuple[Gap, ...]:
    """List the rules that nothing enforces, in the table's order."""
    found = []
    for rule, row in ENFORCED_BY.items():
        if row.gap is not None and (why := row.gap(rules)) is not None:
            found.append(Gap(rule, why))
    return tuple(found)


def gaps_line(rules: Sequence[str]) -> str:
    """Describe rules that nothing enforces in one line; empty where there are none."""
    return f"not enforced: {', '.join(rules)}" if rules else ""
