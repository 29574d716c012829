"""Reading a policy: the numbers of the design, and each thing that is refused, with its sentence."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy import (
    MAX_DOCUMENT_BYTES,
    PolicyError,
    mode_problem,
    parse_rules,
    rules_document,
    untradable_symbols,
)
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

POLICIES = Path(__file__).resolve().parents[3] / "policies"
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


def rules_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((POLICIES / f"{name}.yaml").read_text())["spec"]["rules"]
    return document


def problems_of(source: bytes | dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        parse_rules(source)
    return caught.value.problems


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


REFUSED: list[tuple[str, str, object, str]] = [
    # description, key, value, the sentence after the key
    ("float", "maxDailyLoss", 0.5, "0.5 (a float); allowed is a canonical decimal string from 0.01 to 1000000000"),
    ("NaN", "maxDailyLoss", float("nan"), "nan (a float); allowed is a canonical decimal string"),
    ("integer for a decimal", "maxAccountLeverage", 10, "10 (an integer); allowed is a canonical decimal string"),
    ("trailing zero", "maxAccountLeverage", "10.0", "'10.0' (a string); allowed is a canonical decimal string"),
    ("leading zero", "maxAccountLeverage", "010", "'010' (a string); allowed is a canonical decimal string"),
    ("exponent", "maxAccountLeverage", "1e1", "'1e1' (a string); allowed is a canonical decimal string"),
    ("plus sign", "maxAccountLeverage", "+10", "'+10' (a string); allowed is a canonical decimal string"),
    ("no leading digit", "maxLossPerTrade", ".005", "'.005' (a string); allowed is a canonical decimal string"),
    ("space", "maxAccountLeverage", " 10", "' 10' (a string); allowed is a canonical decimal string"),
    ("trailing line feed", "maxAccountLeverage", "10\n", "'10\\n' (a string); allowed is a canonical decimal string"),
    ("other digits", "maxAccountLeverage", "\u0661\u0660", "allowed is a canonical decimal string"),
    ("negative", "maxOrderNotional", "-1", "'-1' (a string); allowed is a canonical decimal string from 1 to"),
    ("zero", "maxOrderNotional", "0", "'0' (a string); allowed is a canonical decimal string from 1 to"),
    ("minus zero", "equityFloor", "-0", "'-0' (a string); allowed is a canonical decimal string from 0 to"),
    (
        "above the ceiling",
        "maxAccountLeverage",
        "50.1",
        "'50.1' (a string); allowed is a canonical decimal string from 0.1 to 50",
    ),
    ("null", "equityFloor", None, "null; allowed is a canonical decimal string"),
    ("string for a count", "maxEntryOrdersPerSymbol", "5", "'5' (a string); allowed is an integer from 1 to 100"),
    ("boolean for a count", "maxEntryOrdersPerSymbol", True, "True (a boolean); allowed is an integer"),
    ("whole float for a count", "maxPriceAgeMs", 5000.0, "5000.0 (a float); allowed is an integer"),
    ("negative milliseconds", "maxPriceAgeMs", -1, "-1 (an integer); allowed is an integer from 1 to 60000"),
    ("truth score above 100", "minTruthScore", 101, "101 (an integer); allowed is an integer from 0 to 100"),
    ("string for a boolean", "twoPersonArm", "false", "'false' (a string); allowed is true or false"),
    ("number for a boolean", "twoPersonArm", 0, "0 (an integer); allowed is true or false"),
    ("another word", "tailMode", "shadow", "'shadow' (a string); allowed is one of SHADOW, ADVISORY, ENFORCEMENT"),
    ("another word", "onVenueFailure", "ignore", "'ignore' (a string); allowed is one of flatten, halt, close_only"),
    ("no mode", "modes", [], "[] (a list); allowed is a list of some of paper, shadow, live"),
    ("modes in another order", "modes", ["live", "paper"], "in this order, each once"),
    ("a mode twice", "modes", ["paper", "paper"], "in this order, each once"),
    ("an unknown mode", "modes", ["paper", "demo"], "in this order, each once"),
    ("a mode that cannot be compared", "modes", [["paper"]], "in this order, each once"),
    ("no symbol", "symbols", [], "[] (a list); allowed is a sorted list of 1 to 200 different unified symbols"),
    ("another spelling of a symbol", "symbols", ["BTCUSDT"], "'BTCUSDT' (a string); allowed is a sorted list"),
    ("unsorted symbols", "symbols", ["ETH/USDT", "BTC/USDT"], "allowed is a sorted list"),
    ("a symbol twice", "symbols", ["BTC/USDT", "BTC/USDT"], "allowed is a sorted list"),
    ("a symbol that is a number", "symbols", [1], "1 (an integer); allowed is a sorted list"),
    ("an object for a list", "symbols", {}, "{} (an object); allowed is a sorted list"),
    ("an approval that is a word", "liveApproval", "yes", "'yes' (a string); allowed is an object of exactly"),
    (
        "an approval without an end",
        "liveApproval",
        {"reference": "a", "approvedBy": "b"},
        "allowed is an object of exactly",
    ),
    (
        "an approval that ends on no day",
        "liveApproval",
        {"reference": "a", "approvedBy": "b", "expires": "2027-02-30T00:00:00Z"},
        "'2027-02-30T00:00:00Z' (a string); allowed is an object of exactly",
    ),
    (
        "an approval in another zone",
        "liveApproval",
        {"reference": "a", "approvedBy": "b", "expires": "2027-02-20T00:00:00+02:00"},
        "allowed is an object of exactly",
    ),
]


@pytest.mark.parametrize(("description", "key", "value", "sentence"), REFUSED, ids=[f"{r[1]}: {r[0]}" for r in REFUSED])
def test_a_value_that_is_not_allowed_is_named(description: str, key: str, value: object, sentence: str) -> None:
    (problem,) = problems_of({**rules_of("standard"), key: value})
    assert problem.startswith(f"rules.{key}: ")
    assert sentence in problem
    assert "\n" not in problem


CONTRADICTIONS = [
    ("maxOrderNotional", "60000", "allowed is maxOrderNotional <= maxPositionNotional <= maxTotalNotional"),
    ("maxPositionNotional", "100001", "allowed is maxOrderNotional <= maxPositionNotional <= maxTotalNotional"),
    ("drawdownCaution", "0.1", "allowed is drawdownCaution < drawdownDefensive < drawdownEmergency"),
    ("drawdownEmergency", "0.09", "allowed is drawdownCaution < drawdownDefensive < drawdownEmergency"),
    ("latencyReduceMs", 500, "allowed is latencyReduceMs < latencyRejectMs"),
    ("minTruthScore", 50, "allowed is defensiveTruthScore < minTruthScore"),
    ("venueErrorsDefensive", "0.2", "allowed is venueErrorsDefensive < venueErrorsEmergency"),
    ("maxLossPerTrade", "0.06", "allowed is maxLossPerTrade <= maxDailyLossFraction"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), CONTRADICTIONS)
def test_rules_that_contradict_each_other_are_named_with_their_numbers(key: str, value: object, sentence: str) -> None:
    (problem,) = problems_of({**rules_of("standard"), key: value})
    assert sentence in problem
    assert str(value) in problem


def test_an_approval_without_live_among_the_modes_is_refused() -> None:
    (problem,) = problems_of({**rules_of("demo"), "liveApproval": APPROVAL})
    assert problem.startswith("rules.liveApproval: given, but modes are paper")


@pytest.mark.parametrize("key", [key for key, entry in RULES.items() if not entry.optional])
def test_a_missing_rule_is_named_with_what_it_may_be(key: str) -> None:
    document = rules_of("standard")
    del document[key]
    assert problems_of(document) == (f"rules.{key}: missing; allowed is {RULES[key].rule.allowed}",)


def test_an_unknown_rule_is_named_with_the_nearest_one() -> None:
    (problem,) = problems_of({**rules_of("standard"), "maxOrderNotionl": "1"})
    assert problem == "rules.maxOrderNotionl: '1' (a string), but no rule has this name; did you mean maxOrderNotional?"


def test_all_problems_are_collected_and_the_message_counts_them() -> None:
    document = {**rules_of("standard"), "maxDailyLoss": 1, "twoPersonArm": None, "zzz": 1}
    with pytest.raises(PolicyError, match=r"^rules\.maxDailyLoss: 1 \(an integer\).* \(and 2 more\)$") as caught:
        parse_rules(document)
    assert len(caught.value.problems) == 3


GOOD = json.dumps(rules_of("standard"))

JSON_REFUSED: list[tuple[str, bytes, str]] = [
    ("no JSON", b"{", "malformed JSON at line 1 column 2"),
    ("trailing comma", GOOD.replace('"symbols"', ',"symbols"').encode(), "malformed JSON"),
    ("trailing text", (GOOD + " x").encode(), "malformed JSON"),
    ("a list", b"[]", "[] (a list); allowed is a JSON object"),
    ("null", b"null", "null; allowed is a JSON object"),
    ("not UTF-8", GOOD.encode() + b"\xff", "is not UTF-8"),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD.encode(), "malformed JSON"),
    ("too long", b" " * (MAX_DOCUMENT_BYTES + 1), "bytes; allowed are"),
    ("too deep", b"[" * 100_000, "nested too deeply"),
    ("key twice", GOOD.replace("{", '{"twoPersonArm": true, ', 1).encode(), "rules.twoPersonArm: given twice, True"),
    (
        "key twice, one escaped",
        GOOD.replace("{", '{"two\\u0050ersonArm": false, ', 1).encode(),
        "rules.twoPersonArm: given twice",
    ),
    (
        "key twice inside an object",
        GOOD.replace("{", '{"liveApproval": {"reference": "a", "reference": "b"}, ', 1).encode(),
        "rules.reference: given twice",
    ),
    ("float", GOOD.replace('"1000"', "1000.0", 1).encode(), "rules.maxDailyLoss: 1000.0 (a float); allowed is"),
    ("exponent", GOOD.replace('"1000"', "1e3", 1).encode(), "rules.maxDailyLoss: 1e3 (a float); allowed is"),
    ("NaN", GOOD.replace('"1000"', "NaN", 1).encode(), "rules.maxDailyLoss: NaN (a float); allowed is"),
    ("infinity", GOOD.replace('"1000"', "-Infinity", 1).encode(), "rules.maxDailyLoss: -Infinity (a float)"),
    ("float for a count", GOOD.replace(": 5000", ": 5000.0", 1).encode(), "rules.maxPriceAgeMs: 5000.0 (a float)"),
    ("a giant", GOOD.replace(": 5000", ": " + "9" * 6000, 1).encode(), "... (an integer); allowed is an integer from"),
    ("a lone surrogate as key", GOOD.replace("{", '{"\\ud800": 1, ', 1).encode(), "'\\ud800'"),
    ("a lone surrogate as value", GOOD.replace("flatten", "\\ud800").encode(), "rules.onVenueFailure: '\\ud800'"),
]


@pytest.mark.parametrize(("description", "data", "sentence"), JSON_REFUSED, ids=[row[0] for row in JSON_REFUSED])
def test_json_that_has_no_one_meaning_is_refused(description: str, data: bytes, sentence: str) -> None:
    problem = problems_of(data)[0]
    assert sentence in problem
    problem.encode("utf-8")
    assert len(problem) < 400


APPROVAL = {"reference": "minutes 7", "approvedBy": "ana", "expires": "2027-01-31T00:00:00Z"}
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
