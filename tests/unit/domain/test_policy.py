"""Reading a policy: the numbers of the design, and what a policy says of modes and symbols."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.policies import APPROVAL, POLICIES, problems_of, rules_of
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy import mode_problem, parse_rules, rules_document, untradable_symbols
from titan.domain.policy_rules import (
    RULES,
    BooleanRule,
    DecimalRule,
    IntegerRule,
    LiveApprovalRule,
    ModesRule,
    SymbolsRule,
    WordRule,
)

NAMES = ("standard", "micro", "alpha", "demo")

# domain.md section 8, row by row; "same" spelled out.
TABLE = """
maxAccountLeverage|10|10|2|10
maxMarginLeverage|20|20|5|20
maxPositionNotional|50000|250|5000|50000
maxTotalNotional|100000|500|10000|100000
maxOrderNotional|10000|250|1000|10000
maxEntryOrdersPerSymbol|5|2|2|5
maxLossPerTrade|0.005|0.005|0.0025|0.01
maxDailyLoss|1000|20|500|1000
maxDailyLossFraction|0.05|0.05|0.02|0.1
drawdownCaution|0.05|0.05|0.03|0.05
drawdownDefensive|0.1|0.1|0.05|0.1
drawdownEmergency|0.15|0.15|0.08|0.15
equityFloor|150|150|1000|150
equityFloorFraction|0.7|0.7|0.85|0.7
maxCorrelation|0.7|0.9|0.7|0.7
correlationPenalty|0.5|0.3|0.5|0.5
correlationUnknown|1|1|1|1
maxPhaseCorrelation|0.8|0.8|0.8|0.8
minConfidence|0.7|0.6|0.7|0.6
scoreLift|0.15|0.15|0.15|0.3
minEdgeToCost|1.5|1.5|2|1
stopVolatilityMultiple|1.5|2|1.5|1
maxSlippage|0.01|0.005|0.005|0.01
maxPriceAgeMs|5000|3000|3000|5000
maxSignalAgeMs|1000|1000|1000|1000
latencyReduceMs|200|200|200|200
latencyRejectMs|500|500|500|500
minTruthScore|80|80|90|80
defensiveTruthScore|50|50|60|50
minExecutionQuality|0.7|0.7|0.8|0.7
venueErrorsDefensive|0.05|0.05|0.05|0.05
venueErrorsEmergency|0.2|0.2|0.2|0.2
onVenueFailure|flatten|flatten|flatten|flatten
lossStreakCount|3|3|3|3
lossStreakPauseMinutes|30|30|60|30
tailMode|SHADOW|SHADOW|ENFORCEMENT|SHADOW
twoPersonArm|False|False|True|False
"""
SYMBOLS = {"standard": "BTC ETH SOL", "micro": "BTC", "alpha": "BTC", "demo": "BTC ETH SOL"}
MODES = {"standard": "paper shadow live", "micro": "paper shadow live", "alpha": "paper shadow live", "demo": "paper"}


def test_the_folder_holds_the_four_policies_and_nothing_else() -> None:
    assert sorted(path.name for path in POLICIES.iterdir()) == sorted(f"{name}.yaml" for name in NAMES)


@pytest.mark.parametrize("column", range(4), ids=NAMES)
def test_every_number_of_the_design_is_in_every_file(column: int) -> None:
    name = NAMES[column]
    document = rules_of(name)
    expected = {cells[0]: cells[column + 1] for cells in (line.split("|") for line in TABLE.split())}
    assert {key: str(document[key]) for key in expected} == expected
    assert document["modes"] == MODES[name].split()
    assert document["symbols"] == [s for base in SYMBOLS[name].split() for s in (f"{base}/USDT", f"{base}/USDT:USDT")]
    assert set(document) == {*expected, "modes", "symbols"}
    assert set(document) == {key for key, entry in RULES.items() if not entry.optional}


@pytest.mark.parametrize("name", NAMES)
def test_typed_rules_spell_the_document_they_came_from(name: str) -> None:
    document = rules_of(name)
    rules = parse_rules(document)
    assert rules_document(rules) == document
    assert parse_rules(json.dumps(document).encode()) == rules
    assert isinstance(rules.max_order_notional, Decimal)
    assert isinstance(rules.max_price_age_ms, int)


EXPIRES_NS = 1_801_353_600_000_000_000


@pytest.mark.parametrize(
    ("description", "name", "extra", "mode", "now_ns", "sentence"),
    [
        ("paper is among the modes", "standard", {}, "paper", None, None),
        ("the demo policy is for paper only", "demo", {}, "live", None, "is not among the policy's modes"),
        ("live without an approval", "standard", {}, "live", None, "needs rules.liveApproval"),
        (
            "live with one, and rules that nothing enforces",
            "standard",
            {"liveApproval": APPROVAL},
            "live",
            EXPIRES_NS - 1,
            "nothing enforces maxPhaseCorrelation",
        ),
        (
            "without a clock its end does not count",
            "standard",
            {"liveApproval": APPROVAL},
            "live",
            None,
            "nothing enforces maxPhaseCorrelation",
        ),
        (
            "shadow",
            "standard",
            {},
            "shadow",
            None,
            "shadow needs an Execution that decides, journals and sends nothing",
        ),
        ("live after its end", "standard", {"liveApproval": APPROVAL}, "live", EXPIRES_NS, "was approved until 2027"),
    ],
)
def test_what_a_policy_says_of_a_mode(
    description: str, name: str, extra: dict[str, Any], mode: Any, now_ns: int | None, sentence: str | None
) -> None:
    problem = mode_problem(parse_rules({**rules_of(name), **extra}), mode, now_ns)
    assert problem is None if sentence is None else problem is not None and sentence in problem


@pytest.mark.parametrize("name", NAMES)
def test_the_four_policies_can_trade_their_symbols(name: str) -> None:
    prices = {"BTC/USDT:USDT": Decimal(60_000), "BTC/USDT": Decimal(60_000)}
    assert untradable_symbols(parse_rules(rules_of(name)), PAPER_INSTRUMENTS, prices) == []


@pytest.mark.parametrize(
    ("description", "change", "prices", "expected"),
    [
        ("least notional above the limit", {"maxOrderNotional": "99.9"}, {}, ["BTC/USDT:USDT can never be traded"]),
        ("least notional equal to the limit", {"maxOrderNotional": "100"}, {}, []),
        (
            "one step above the limit at this price",
            {"maxOrderNotional": "100"},
            {"BTC/USDT:USDT": Decimal(60_000)},
            ["the venue's least order is 120 USDT, the policy's least limit on an order is 100"],
        ),
        (
            "least quantity above the limit at this price",
            {},
            {"BTC/USDT:USDT": Decimal(250_001)},
            ["the venue's least order is 250.001 USDT"],
        ),
        ("not listed", {"symbols": ["BTC/USDT", "XYZ/USDT"]}, {}, ["XYZ/USDT is not listed by the venue"]),
    ],
)
def test_a_symbol_that_could_never_be_traded_is_named(
    description: str, change: dict[str, Any], prices: dict[str, Decimal], expected: list[str]
) -> None:
    found = untradable_symbols(parse_rules({**rules_of("micro"), **change}), PAPER_INSTRUMENTS, prices)
    assert len(found) == len(expected)
    for sentence, part in zip(found, expected, strict=True):
        assert sentence.startswith("rules.symbols: ")
        assert part in sentence


WORDS = ("onVenueFailure", "tailMode", "twoPersonArm")


def _values(key: str) -> st.SearchStrategy[object]:
    rule = RULES[key].rule
    match rule:
        case DecimalRule():
            numbers = st.decimals(rule.lowest, rule.highest, allow_nan=False, places=6)
            return numbers.map(lambda number: rule.write(number))
        case IntegerRule():
            return st.integers(rule.lowest, rule.highest)
        case BooleanRule():
            return st.booleans()
        case WordRule():
            return st.sampled_from(rule.words)
        case ModesRule():
            return st.just(["paper", "live"])
        case SymbolsRule():
            return st.sets(st.from_regex(r"\A[A-Z]{1,5}/USDT(:USDT)?\Z"), min_size=1, max_size=5).map(sorted)
        case LiveApprovalRule():
            return st.just(APPROVAL)


@given(st.data())
def test_any_single_rule_within_its_bounds_survives_the_way_there_and_back(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(RULES)))
    document = {**rules_of("standard"), key: data.draw(_values(key))}
    # Within its own bounds a value can still contradict another rule.
    contradicted = _contradictions(document)
    if contradicted:
        assert len(problems_of(document)) == contradicted
    else:
        assert rules_document(parse_rules(document)) == document


def _contradictions(document: dict[str, Any]) -> int:
    number = {
        key: Decimal(str(value)) for key, value in document.items() if isinstance(value, str | int) and key not in WORDS
    }
    chains = (
        number["drawdownCaution"] < number["drawdownDefensive"] < number["drawdownEmergency"],
        number["maxOrderNotional"] <= number["maxPositionNotional"] <= number["maxTotalNotional"],
        number["maxLossPerTrade"] <= number["maxDailyLossFraction"],
        number["latencyReduceMs"] < number["latencyRejectMs"],
        number["defensiveTruthScore"] < number["minTruthScore"],
        number["venueErrorsDefensive"] < number["venueErrorsEmergency"],
        "liveApproval" not in document or "live" in document["modes"],
    )
    return chains.count(False)
