"""Refused resources: the message names the field, its value and what is allowed."""

from __future__ import annotations

import pytest

from support.stack.phase_texts import DIGEST, HASH, MARKET, POLICY, SCAVENGER, VENUE, phase, problems_of
from titan_operator.api.yaml_strict import MAX_BYTES

YAML_REFUSED = [
    ("indentation", MARKET.replace("  role", " role"), "line 6 column 8: malformed YAML"),
    ("unclosed brace", MARKET.replace("name: market}", "name: market"), "malformed YAML"),
    ("tab", MARKET.replace("  role", "\trole"), "malformed YAML"),
    ("control character", MARKET + "\x00", "malformed YAML"),
    ("no document", "# nothing\n", "no document; allowed are resources of titan.trading/v1alpha1"),
    ("a field twice", MARKET + "  role: brain\n", "line 9: role is given twice; allowed is once"),
    ("a rule twice", POLICY.replace("    modes", "    twoPersonArm: true\n    modes"), "twoPersonArm is given twice"),
    ("an alias", MARKET.replace("seed: 7", "seed: &a 7, stepMs: *a"), "an alias (*NAME); allowed are plain values"),
    ("a merge key with an alias", "a: &a {b: 1}\nc: {<<: *a}\n", "an alias (*NAME); allowed are plain values"),
    ("a Python tag", MARKET.replace("seed: 7", "seed: !!python/object:os.system 7"), "allowed are plain values"),
    ("a binary tag", MARKET.replace("seed: 7", "seed: !!binary aGk="), "allowed are plain values"),
    ("a key that is a number", MARKET.replace("seed: 7", "7: 7"), "line 8: a key that is no string"),
    ("a key that is a list", MARKET.replace("seed: 7", "[a]: 7"), "line 8: a key that is no string"),
    ("too deep", "[" * 60 + "]" * 60, "nested deeper than 40 levels"),
    ("too long", "#" * (MAX_BYTES + 1), "characters; allowed are 1048576"),
    ("a list of resources", "- 1\n", "[1] (a list); allowed is an object of apiVersion, kind, metadata, spec"),
    ("a word", "hello\n", "'hello' (a string); allowed is an object of apiVersion, kind, metadata, spec"),
]


@pytest.mark.parametrize(("description", "text", "sentence"), YAML_REFUSED, ids=[row[0] for row in YAML_REFUSED])
def test_yaml_that_is_malformed_or_surprising_is_refused(description: str, text: str, sentence: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith("stack.yaml: ")
    assert sentence in problem
    assert "\n" not in problem


FIELDS_REFUSED = [
    # resource, what is replaced, by what, sentence after "stack.yaml: TitanPhase NAME: "
    (MARKET, "v1alpha1", "v1", "apiVersion: 'titan.trading/v1' (a string); allowed is one of titan.trading/v1alpha1"),
    (MARKET, "market}", "Market}", "metadata.name: 'Market' (a string); allowed is 1 to 40 of a-z, 0-9 and -"),
    (MARKET, "{name: market}", "{}", "metadata.name: missing; it is required"),
    (
        MARKET,
        "{name: market}",
        "{name: market, uid: x}",
        "metadata.uid: 'x' (a string): no such field; allowed are name, namespace, labels, annotations",
    ),
    (
        MARKET,
        "role: marketdata",
        "role: hunter",
        "spec.role: 'hunter' (a string); allowed is one of marketdata, papervenue",
    ),
    (MARKET, "  role: marketdata\n", "", "spec.role: missing; allowed is one of"),
    (
        MARKET,
        f"@sha256:{DIGEST}",
        ":latest",
        "spec.image: 'titan/titan:latest' (a string); allowed is an image by digest",
    ),
    (MARKET, DIGEST, DIGEST[1:], "allowed is an image by digest"),
    (MARKET, f"  image: titan/titan@sha256:{DIGEST}\n", "", "spec.image: missing; it is required"),
    (
        MARKET,
        "[BTC/USDT, BTC/USDT:USDT]",
        "[BTCUSDT]",
        "spec.symbols: 'BTCUSDT' (a string); allowed is a list of 1 to 200",
    ),
    (
        MARKET,
        "[BTC/USDT, BTC/USDT:USDT]",
        "[BTC/USDT, BTC/USDT]",
        "spec.symbols: 'BTC/USDT' (a string); allowed is a list",
    ),
    (MARKET, "[BTC/USDT, BTC/USDT:USDT]", "[]", "spec.symbols: [] (a list); allowed is a list of 1 to 200"),
    (
        MARKET,
        "[BTC/USDT, BTC/USDT:USDT]",
        "BTC/USDT",
        "spec.symbols: 'BTC/USDT' (a string); allowed is a list of 1 to 200",
    ),
    (MARKET, "seed: 7", "seed: -7", "spec.parameters.seed: -7 (an integer); allowed is an integer from 0"),
    (MARKET, "seed: 7", "seed: 7.0", "spec.parameters.seed: 7.0 (a float); allowed is an integer from 0"),
    (MARKET, "seed: 7", 'seed: "7"', "spec.parameters.seed: '7' (a string); allowed is an integer from 0"),
    (MARKET, "seed: 7", "seed: yes", "spec.parameters.seed: 'yes' (a string); allowed is an integer from 0"),
    (MARKET, "seed: 7", "seed: true", "spec.parameters.seed: True (a boolean); allowed is an integer from 0"),
    (MARKET, "seed: 7", "seed: ~", "spec.parameters.seed: null; allowed is an integer from 0"),
    (MARKET, "seed: 7", "seed: " + "9" * 5000, "... (an integer); allowed is an integer from 0"),
    (
        MARKET,
        "seed: 7",
        "sed: 7",
        "spec.parameters.sed: 7 (an integer): no such field; allowed are source, seed, files",
    ),
    (MARKET, "seed: 7", "initialBalance: 7", "spec.parameters.initialBalance: 7 (an integer): no such field"),
    (
        MARKET,
        "seed: 7",
        "files: [a.gz]",
        "spec.parameters: ['a.gz'] (a list); allowed is files only where source is replay",
    ),
    (
        MARKET,
        "simulated",
        "replay",
        "spec.parameters: 7 (an integer); allowed is a seed only where source is simulated",
    ),
    (MARKET, "simulated", "live", "spec.parameters.source: 'live' (a string); allowed is one of simulated, replay"),
    (MARKET, '"2.5"', "2.5", 'spec.parameters.speed: 2.5 (a float); allowed is "max" or a canonical decimal string'),
    (MARKET, '"2.5"', '"0.5"', "spec.parameters.speed: '0.5' (a string); allowed is \"max\" or"),
    (MARKET, '"2.5"', ".nan", "spec.parameters.speed: .nan (a float); allowed is"),
    (MARKET, "  symbols", "  mode: paper\n  symbols", "spec.mode: 'paper' (a string): no such field; allowed are"),
    (MARKET, "  symbols", "  suspend: 1\n  symbols", "spec.suspend: 1 (an integer); allowed is true or false"),
    (
        VENUE,
        '"1000"',
        "1000",
        "spec.parameters.initialBalance: 1000 (an integer); allowed is a canonical decimal string from 1",
    ),
    (VENUE, '"1000"', '"-1000"', "spec.parameters.initialBalance: '-1000' (a string); allowed is a canonical decimal"),
    (
        VENUE,
        '"1000"',
        '"1000.0"',
        "spec.parameters.initialBalance: '1000.0' (a string); allowed is a canonical decimal",
    ),
    (
        VENUE,
        "parameters: {",
        "storage: {size: 1GB}, parameters: {",
        "spec.storage.size: '1GB' (a string); allowed is a size",
    ),
    (SCAVENGER, "mode: paper", "mode: trial", "spec.mode: 'trial' (a string); allowed is one of paper, shadow"),
    (SCAVENGER, "  mode: paper\n", "", "spec.mode: missing; it is required"),
    (SCAVENGER, HASH, "3e1725d5", "spec.policyRef.hash: '3e1725d5' (a string); allowed is sha256: and 64 lower-case"),
    (SCAVENGER, HASH, HASH.upper(), "allowed is sha256: and 64 lower-case"),
    (SCAVENGER, HASH, f'"{HASH}\\n"', "allowed is sha256: and 64 lower-case"),
    (
        SCAVENGER,
        "{name: demo-3e1725d5",
        "{nome: demo-3e1725d5",
        "spec.policyRef.nome: 'demo-3e1725d5' (a string): no such field",
    ),
    (
        SCAVENGER,
        '{leverage: "15"}',
        '{leverage: "126"}',
        "spec.margin.leverage: '126' (a string); allowed is a whole multiple as a string",
    ),
    (SCAVENGER, '"15"', '"1.5"', "spec.margin.leverage: '1.5' (a string); allowed is a whole multiple as a string"),
    (SCAVENGER, '"15"', "15", "spec.margin.leverage: 15 (an integer); allowed is a whole multiple as a string"),
    (SCAVENGER, '{leverage: "15"}', "15", "spec.margin: 15 (an integer); allowed is an object of leverage"),
    (
        SCAVENGER,
        "[BTC/USDT:USDT, BTC/USDT]",
        "[BTC/USDT:USDT]",
        "spec: ['BTC/USDT:USDT'] (a list); allowed is symbols of one perpetual and",
    ),
    (SCAVENGER, "[BTC/USDT:USDT, BTC/USDT]", "[BTC/USDT, ETH/USDT]", "allowed is symbols of one perpetual and"),
    (
        SCAVENGER,
        '"40.5"',
        "40.5",
        "spec.parameters.stopBps: 40.5 (a float); allowed is a canonical decimal string from 1 to 1000",
    ),
    (
        SCAVENGER,
        '"40.5"',
        '"0.9"',
        "spec.parameters.stopBps: '0.9' (a string); allowed is a canonical decimal string from 1",
    ),
    (
        SCAVENGER,
        "stopBps",
        "stop_bps",
        "spec.parameters.stop_bps: '40.5' (a string): no such parameter; allowed are barMs",
    ),
    (
        SCAVENGER,
        'stopBps: "40.5"',
        'fullBurstRatio: "1"',
        "spec.parameters.fullBurstRatio: '1' (a string); allowed is a canonical decimal string above 1",
    ),
    (SCAVENGER, "limit", "stop", "spec.parameters.orderType: 'stop' (a string); allowed is one of market, limit"),
    (
        SCAVENGER,
        "barMs: 1000",
        "swingBars: 300",
        "spec.parameters: swing_bars: 300 is not allowed; less than min_level_bars",
    ),
    (
        SCAVENGER,
        "barMs: 1000",
        "perpSymbol: ETH/USDT:USDT",
        "spec.parameters.perpSymbol: 'ETH/USDT:USDT' (a string): no such parameter",
    ),
    (
        SCAVENGER,
        "  margin",
        "  onDelete: Keep\n  margin",
        "spec.onDelete: 'Keep' (a string); allowed is one of Drain, Flatten, Orphan",
    ),
]


@pytest.mark.parametrize(("text", "old", "new", "sentence"), FIELDS_REFUSED)
def test_a_field_that_is_wrong_is_named_with_its_value_and_what_is_allowed(
    text: str, old: str, new: str, sentence: str
) -> None:
    assert old in text
    (problem,) = problems_of(text.replace(old, new))
    assert problem.startswith("stack.yaml: TitanPhase")
    assert sentence in problem
    assert "\n" not in problem


POLICY_REFUSED = [
    ('maxOrderNotional: "10000"', 'maxOrderNotional: "10001"', "spec: the rules hash to sha256:"),
    (
        'maxOrderNotional: "10000"',
        "maxOrderNotional: 10000",
        "spec.rules.maxOrderNotional: 10000 (an integer); allowed is",
    ),
    ('maxOrderNotional: "10000"', 'maxOrderNotional: "-1"', "spec.rules.maxOrderNotional: '-1' (a string); allowed is"),
    ('maxOrderNotional: "10000"', "maxOrderNotional: 1e4", "spec.rules.maxOrderNotional: 1e4 (a float); allowed is"),
    ('maxOrderNotional: "10000"', "maxOrderNotional: .inf", "spec.rules.maxOrderNotional: .inf (a float); allowed is"),
    ('    maxOrderNotional: "10000"\n', "", "spec.rules.maxOrderNotional: missing; allowed is"),
    ("    maxOrderNotional", "    maxOrder", "spec.rules.maxOrderNotional: missing"),
    ("twoPersonArm: false", "twoPersonArm: no", "spec.rules.twoPersonArm: 'no' (a string); allowed is true or false"),
    (
        'maxPositionNotional: "50000"',
        'maxPositionNotional: "9999"',
        "spec.rules.maxOrderNotional: 10000 with maxPositionNotional 9999",
    ),
    (HASH, "sha256:abc", "spec.hash: 'sha256:abc' (a string); allowed is sha256: and 64"),
    (f"  hash: {HASH}\n", "", "spec.hash: missing; it is required"),
    (
        "posture: ARMED",
        "posture: armed",
        "spec.posture: 'armed' (a string); allowed is one of FLATTEN, HALTED, CLOSE_ONLY, ARMED",
    ),
    ("posture: ARMED", "posture: ARMED\n  act: {verb: arm}", "spec.act.nonce: missing; it is required"),
    ("demo-3e1725d5", "demo-d7413499", "'demo-d7413499' (a string); allowed is a metadata.name that ends in -3e1725d5"),
    ("demo-3e1725d5", "3e1725d5", "'3e1725d5' (a string); allowed is a metadata.name that ends in -3e1725d5"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), POLICY_REFUSED)
def test_a_policy_that_is_wrong_is_refused(old: str, new: str, sentence: str) -> None:
    assert old in POLICY
    problem = problems_of(POLICY.replace(old, new))[0]
    assert problem.startswith("stack.yaml: RiskPolicy ")
    assert sentence in problem
    assert "\n" not in problem


def test_a_hash_that_is_not_of_the_rules_shows_both() -> None:
    (problem,) = problems_of(POLICY.replace('equityFloor: "150"', 'equityFloor: "151"'))
    assert HASH in problem
    assert problem.count("sha256:") == 2


def test_several_wrong_rules_of_one_policy_are_several_sentences() -> None:
    text = POLICY.replace("twoPersonArm: false", "twoPersonArm: 0").replace("tailMode: SHADOW", "tailMode: x")
    assert [problem.partition("spec.rules.")[2].partition(":")[0] for problem in problems_of(text)] == [
        "tailMode",
        "twoPersonArm",
    ]


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_labels_and_annotations_of_a_file_are_strings(field: str) -> None:
    text = MARKET.replace("{name: market}", f"{{name: market, namespace: demo, {field}: {{a: b}}}}")
    assert getattr(phase(text).metadata, field) == {"a": "b"}
    (problem,) = problems_of(text.replace("{a: b}", "{a: 1}"))
    assert f"metadata.{field}.a: 1 (an integer); allowed is an object of strings" in problem


def test_an_object_that_may_be_left_out_may_not_be_null() -> None:
    (problem,) = problems_of(POLICY.replace("posture: ARMED", "posture: ARMED\n  act: ~"))
    assert problem.endswith("spec.act: null; allowed is an object, or to leave the field out")
