"""The effect of a changed rule on the allowed risk, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.domain.policy import parse_rules
from titan.domain.policy_compare import EFFECTS, Difference, Effect, differences
from titan.domain.policy_rules import RULES

T, L, C = Effect.TIGHTER, Effect.LOOSER, Effect.CHANGED
STANDARD: dict[str, Any] = yaml.safe_load((REPOSITORY / "policies" / "standard.yaml").read_text())["spec"]["rules"]
APPROVAL = {"reference": "R-1", "approvedBy": "ana", "expires": "2027-01-31T00:00:00Z"}

# (rule, a value that the standard policy does not have, what going there does, why)
TABLE: list[tuple[str, object, Effect, str]] = [
    ("modes", ["paper"], T, "fewer ways to trade"),
    ("liveApproval", APPROVAL, L, "live becomes possible"),
    ("maxAccountLeverage", "2", T, "less exposure"),
    ("maxMarginLeverage", "50", L, "less margin for a position"),
    ("maxPositionNotional", "60000", L, "larger positions"),
    ("maxTotalNotional", "60000", T, "less in all"),
    ("maxOrderNotional", "1000", T, "smaller orders"),
    ("maxEntryOrdersPerSymbol", 6, L, "more entries at once"),
    ("maxLossPerTrade", "0.001", T, "less lost a trade"),
    ("maxDailyLoss", "2000", L, "more lost a day"),
    ("maxDailyLossFraction", "0.01", T, "less lost a day"),
    ("drawdownCaution", "0.01", T, "careful sooner"),
    ("drawdownDefensive", "0.12", L, "defensive later"),
    ("drawdownEmergency", "0.2", L, "stopped later"),
    ("equityFloor", "100", L, "stopped later"),
    ("equityFloorFraction", "0.8", T, "stopped sooner"),
    ("maxCorrelation", "0.5", T, "fewer alike positions"),
    ("correlationPenalty", "0.9", L, "larger sizes above the limit"),
    ("correlationUnknown", "0.5", L, "the unknown is taken for less alike"),
    ("maxPhaseCorrelation", "0.9", L, "phases may trade more alike"),
    ("minConfidence", "0.9", T, "fewer setups pass"),
    ("scoreLift", "0.3", L, "a score promises more edge"),
    ("minEdgeToCost", "1", L, "less edge is enough"),
    ("stopVolatilityMultiple", "3", T, "stops must be wider, so sizes smaller"),
    ("maxSlippage", "0.001", T, "a narrower price band"),
    ("maxPriceAgeMs", 10_000, L, "older prices open"),
    ("maxSignalAgeMs", 500, T, "older signals do not"),
    ("latencyReduceMs", 300, L, "sizes shrink later"),
    ("latencyRejectMs", 400, T, "refused sooner"),
    ("minTruthScore", 90, T, "books must agree more"),
    ("defensiveTruthScore", 40, L, "defensive later"),
    ("minExecutionQuality", "0.8", T, "better execution is needed"),
    ("venueErrorsDefensive", "0.01", T, "defensive sooner"),
    ("venueErrorsEmergency", "0.5", L, "stopped later"),
    ("onVenueFailure", "close_only", L, "positions stay, and so may orders that close"),
    ("lossStreakCount", 5, L, "more losses before a pause"),
    ("lossStreakPauseMinutes", 60, T, "longer pauses"),
    ("tailMode", "ENFORCEMENT", T, "tail limits decide"),
    ("twoPersonArm", True, T, "one person cannot arm"),
    ("symbols", ["BTC/USDT:USDT"], T, "less to trade"),
]


def changed(**rules: object) -> dict[str, Any]:
    return {**STANDARD, **rules}


def test_every_rule_has_a_tighter_direction() -> None:
    assert set(EFFECTS) == set(RULES) == {row[0] for row in TABLE}


@pytest.mark.parametrize(("key", "value", "effect", "why"), TABLE, ids=[row[0] for row in TABLE])
def test_one_rule(key: str, value: object, effect: Effect, why: str) -> None:
    before, after = parse_rules(STANDARD), parse_rules(changed(**{key: value}))
    assert differences(before, after) == [Difference(key, STANDARD.get(key), value, effect)]
    back = {T: L, L: T}[effect]
    assert differences(after, before) == [Difference(key, value, STANDARD.get(key), back)]


@pytest.mark.parametrize(
    ("description", "before", "after", "effect"),
    [
        ("other symbols", {"symbols": ["BTC/USDT"]}, {"symbols": ["ETH/USDT"]}, C),
        ("other modes", {"modes": ["paper"]}, {"modes": ["shadow"]}, C),
        ("another approval", {"liveApproval": APPROVAL}, {"liveApproval": {**APPROVAL, "reference": "R-2"}}, C),
    ],
)
def test_neither_way(description: str, before: dict[str, Any], after: dict[str, Any], effect: Effect) -> None:
    found = differences(parse_rules(changed(**before)), parse_rules(changed(**after)))
    assert [each.effect for each in found] == [effect]


def test_the_same_rules_do_not_differ() -> None:
    assert differences(parse_rules(STANDARD), parse_rules(dict(reversed(STANDARD.items())))) == []


def test_differences_come_in_the_tables_order() -> None:
    found = differences(parse_rules(STANDARD), parse_rules(changed(symbols=["BTC/USDT"], maxOrderNotional="1000")))
    assert [each.key for each in found] == ["maxOrderNotional", "symbols"]
