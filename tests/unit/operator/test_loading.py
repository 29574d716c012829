"""YAML of resources: what is read, and one sentence for each thing that is wrong with a file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from titan.domain.kinds import Posture
from titan.domain.policy import PolicyRules
from titan_operator.api import ResourceError, RiskPolicy, TitanPhase, load_resources, read_live
from titan_operator.api.parameters import MarketdataParameters, PapervenueParameters
from titan_operator.api.resources import BrainSpec, ExecutionSpec, MarketdataSpec, PapervenueSpec, ScavengerSpec
from titan_operator.api.status import MESSAGE_LONGEST, PostureStatus, RiskPolicyStatus, bounded, status_document
from titan_operator.api.yaml_strict import MAX_BYTES

ROOT = Path(__file__).resolve().parents[3]
POLICY = (ROOT / "policies" / "demo.yaml").read_text()
HASH = "sha256:d7413498773d57cab22eeb34ded1c952ff87b97338e83eae5ed0a75654b201fa"
DIGEST = "0" * 64

SCAVENGER = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: traps}}
spec:
  role: scavenger
  image: titan/titan@sha256:{DIGEST}
  policyRef: {{name: demo-d7413498, hash: {HASH}}}
  mode: paper
  symbols: [BTC/USDT:USDT, BTC/USDT]
  margin: {{leverage: "15"}}
  parameters: {{stopBps: "40.5", barMs: 1000, orderType: limit}}
"""
MARKET = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: market}}
spec:
  role: marketdata
  image: titan/titan@sha256:{DIGEST}
  symbols: [BTC/USDT, BTC/USDT:USDT]
  parameters: {{source: simulated, seed: 7, speed: "2.5", stepMs: 20}}
"""
VENUE = f"""\
apiVersion: titan.trading/v1alpha1
kind: TitanPhase
metadata: {{name: venue}}
spec: {{role: papervenue, image: "titan@sha256:{DIGEST}", parameters: {{initialBalance: "1000"}}}}
"""


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ResourceError) as caught:
        load_resources(text, "stack.yaml")
    return caught.value.problems


def phase(text: str) -> TitanPhase:
    (resource,) = load_resources(text, "stack.yaml")
    assert isinstance(resource, TitanPhase)
    return resource


def test_a_policy_is_read_with_typed_rules() -> None:
    (policy,) = load_resources(POLICY, "demo.yaml")
    assert isinstance(policy, RiskPolicy)
    assert isinstance(policy.spec.rules, PolicyRules)
    assert policy.spec.rules.max_loss_per_trade == Decimal("0.01")
    assert policy.spec.hash == HASH
    assert policy.spec.ceiling is Posture.ARMED


def test_each_role_has_its_own_fields_and_parameters() -> None:
    market, venue, traps = phase(MARKET).spec, phase(VENUE).spec, phase(SCAVENGER).spec
    assert isinstance(market, MarketdataSpec)
    assert market.parameters == MarketdataParameters(source="simulated", seed=7, speed="2.5", stepMs=20)
    assert isinstance(venue, PapervenueSpec)
    assert venue.parameters == PapervenueParameters(initialBalance="1000")
    assert (venue.parameters.latency_ms, venue.storage.size) == (50, "1Gi")
    assert isinstance(traps, ScavengerSpec)
    assert (traps.perp_symbol, traps.spot_symbol) == ("BTC/USDT:USDT", "BTC/USDT")
    assert traps.margin.leverage == 15
    assert traps.parameters == {"stop_bps": 40.5, "bar_ms": 1000, "order_type": "limit"}
    for role, kind in (("brain", BrainSpec), ("execution", ExecutionSpec)):
        text = SCAVENGER.replace("scavenger", role).partition("  symbols")[0]
        assert isinstance(phase(text).spec, kind)


def test_defaults_are_those_of_the_design() -> None:
    assert phase(VENUE.replace(', parameters: {initialBalance: "1000"}', "")).spec.parameters == PapervenueParameters(
        initialBalance="200", latencyMs=50
    )


def test_several_documents_keep_their_order_and_empty_ones_are_left_out() -> None:
    resources = load_resources(f"---\n---\n{MARKET}---\n# nothing\n---\n{VENUE}", "stack.yaml")
    assert [resource.metadata.name for resource in resources] == ["market", "venue"]


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
    (SCAVENGER, "mode: paper", "mode: shadow", "spec.mode: 'shadow' (a string); allowed is one of paper, live"),
    (SCAVENGER, "  mode: paper\n", "", "spec.mode: missing; it is required"),
    (SCAVENGER, HASH, "d7413498", "spec.policyRef.hash: 'd7413498' (a string); allowed is sha256: and 64 lower-case"),
    (SCAVENGER, HASH, HASH.upper(), "allowed is sha256: and 64 lower-case"),
    (SCAVENGER, HASH, f'"{HASH}\\n"', "allowed is sha256: and 64 lower-case"),
    (
        SCAVENGER,
        "{name: demo-d7413498",
        "{nome: demo-d7413498",
        "spec.policyRef.nome: 'demo-d7413498' (a string): no such field",
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
    ("demo-d7413498", "demo-d7413499", "'demo-d7413499' (a string); allowed is a metadata.name that ends in -d7413498"),
    ("demo-d7413498", "d7413498", "'d7413498' (a string); allowed is a metadata.name that ends in -d7413498"),
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


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("kind: TitanPhase", "kind: Titan", "kind: 'Titan' (a string); allowed is one of RiskPolicy, TitanPhase"),
        ("kind: TitanPhase\n", "", "kind: missing; allowed is one of RiskPolicy, TitanPhase"),
        (
            "kind: TitanPhase",
            "kind: [TitanPhase]",
            "kind: ['TitanPhase'] (a list); allowed is one of RiskPolicy, TitanPhase",
        ),
    ],
)
def test_a_kind_that_is_not_ours_is_refused(old: str, new: str, sentence: str) -> None:
    assert problems_of(MARKET.replace(old, new)) == (f"stack.yaml: {sentence}",)


def test_all_problems_of_all_documents_are_collected_with_their_documents_number() -> None:
    text = f"{MARKET.replace('seed: 7', 'seed: -7')}---\n{VENUE}---\n{SCAVENGER.replace('mode: paper', 'mode: x')}"
    with pytest.raises(ResourceError, match=r"\(and 1 more\)$") as caught:
        load_resources(text, "stack.yaml")
    assert [problem.partition(": spec")[0] for problem in caught.value.problems] == [
        "stack.yaml: document 1: TitanPhase market",
        "stack.yaml: document 3: TitanPhase traps",
    ]


def test_several_wrong_rules_of_one_policy_are_several_sentences() -> None:
    text = POLICY.replace("twoPersonArm: false", "twoPersonArm: 0").replace("tailMode: SHADOW", "tailMode: x")
    assert [problem.partition("spec.rules.")[2].partition(":")[0] for problem in problems_of(text)] == [
        "tailMode",
        "twoPersonArm",
    ]


def _live(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    document["metadata"] |= {
        "namespace": "demo",
        "uid": "3f0c",
        "generation": 4,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "deletionTimestamp": "2026-01-02T03:04:05Z",
        "finalizers": ["titan.trading/drain"],
        "labels": {"a": "b"},
        "managedFields": [{"manager": "kubectl"}],
    }
    return document | {"status": {"observedGeneration": 4}}


@pytest.mark.parametrize("text", [POLICY, MARKET, VENUE, SCAVENGER])
def test_a_live_object_is_read_without_what_the_server_adds(text: str) -> None:
    live, (written,) = read_live(_live(text)), load_resources(text, "stack.yaml")
    assert live.spec == written.spec
    assert (live.metadata.namespace, live.metadata.labels) == ("demo", {"a": "b"})


def test_a_live_object_is_read_as_strictly_as_a_file() -> None:
    document = _live(MARKET)
    document["spec"]["image"] = "titan:latest"
    with pytest.raises(ResourceError, match=r"^TitanPhase market: spec\.image: 'titan:latest' \(a string\); allowed"):
        read_live(document)


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_labels_and_annotations_of_a_file_are_strings(field: str) -> None:
    text = MARKET.replace("{name: market}", f"{{name: market, namespace: demo, {field}: {{a: b}}}}")
    assert getattr(phase(text).metadata, field) == {"a": "b"}
    (problem,) = problems_of(text.replace("{a: b}", "{a: 1}"))
    assert f"metadata.{field}.a: 1 (an integer); allowed is an object of strings" in problem


def test_an_object_that_may_be_left_out_may_not_be_null() -> None:
    (problem,) = problems_of(POLICY.replace("posture: ARMED", "posture: ARMED\n  act: ~"))
    assert problem.endswith("spec.act: null; allowed is an object, or to leave the field out")


def test_a_scavenger_may_have_its_own_defaults() -> None:
    spec = phase(SCAVENGER.partition("  parameters")[0]).spec
    assert isinstance(spec, ScavengerSpec)
    assert spec.parameters == {}


def test_resources_count_in_the_same_units() -> None:
    text = MARKET + "  resources: {requests: {cpu: 1500m, memory: 2048Mi}, limits: {cpu: '2', memory: 2Gi}}\n"
    resources = phase(text).spec.resources
    assert resources is not None
    assert resources.requests is not None
    assert resources.limits is not None
    assert (resources.requests.cpu_milli, resources.limits.cpu_milli) == (1500, 2000)
    assert (resources.requests.memory_mi, resources.limits.memory_mi) == (2048, 2048)


def test_a_status_holds_what_is_known_in_the_servers_spelling() -> None:
    status = RiskPolicyStatus(observed_generation=3, posture=PostureStatus(in_force="HALTED"), equity="200")
    assert status_document(status) == {"observedGeneration": 3, "posture": {"inForce": "HALTED"}, "equity": "200"}


@pytest.mark.parametrize("length", [1, MESSAGE_LONGEST, MESSAGE_LONGEST + 1, 100_000])
def test_a_message_fits_into_a_status(length: int) -> None:
    text = "a" * (length - 1) + "b"
    assert len(bounded(text)) <= MESSAGE_LONGEST
    assert (bounded(text) == text) is (length <= MESSAGE_LONGEST)
    assert bounded(text).endswith("b")
