"""Each thing that is refused in a policy, with its sentence."""

from __future__ import annotations

import json

import pytest

from support.risk.policies import APPROVAL, problems_of, rules_of
from titan.domain.policy import MAX_DOCUMENT_BYTES, PolicyError, parse_rules
from titan.domain.policy_rules import RULES

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
