"""Documents become typed resources, from files and from the API server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import yaml

from support.stack.phase_texts import HASH, MARKET, POLICY, SCAVENGER, VENUE, phase, problems_of
from titan.domain.enums import Posture
from titan.domain.policy import PolicyRules
from titan_operator.api import ResourceError, RiskPolicy, load_resources, read_live
from titan_operator.api.parameters import MarketdataParameters, PapervenueParameters
from titan_operator.api.resources import BrainSpec, ExecutionSpec, MarketdataSpec, PapervenueSpec, ScavengerSpec


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
