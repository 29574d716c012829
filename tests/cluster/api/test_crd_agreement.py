"""The API server and the typed models judge alike: what one of them takes at random, the other takes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testcluster.controlplane import ControlPlane

from support.crds.api import CrdApi
from support.crds.manifests import ABSENT, BASES, DIGEST, changed
from titan.domain.numbers import format_decimal
from titan.domain.policy import PolicyError, parse_rules
from titan.domain.policy_hash import policy_hash, short_hash
from titan.domain.policy_rules import RULES, BooleanRule, DecimalRule, IntegerRule, WordRule
from titan_operator.api import ResourceError, read_live
from titan_operator.api.parameters import SCAVENGER
from titan_operator.api.signal_parameters import SignalNumberRule

NAMESPACE = "agreement"
EXAMPLES = 300
_PIP = Decimal("0.00001")

# Up to nine digits behind the point: quantity() rounds up what is finer, so a hair below a bound passes the API server
# and is refused by the operator's reading.
decimals = st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,9})?|[0-9]e[0-9]|[0-9]{1,2}[kKmM]|\.5|1_0", fullmatch=True)
words = st.sampled_from(
    ["", "a", "A", "ARMED", "paper", "live", "shadow", "halt", "Drain", "max", "1", "0", "a,b", "a\n"]
)
symbols = st.lists(
    st.sampled_from(["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT", "BTCUSDT", "btc/usdt", ""]), max_size=3
)
names = st.from_regex(r"[a-z0-9A-Z.-]{0,66}", fullmatch=True)
integers = st.one_of(st.integers(-2, 130), st.integers(-(2**54), 2**54))
anything = st.one_of(decimals, words, symbols, names, integers, st.booleans(), st.sampled_from([ABSENT, {}, []]))


def _near(rule: object) -> st.SearchStrategy[Any]:
    """Values that a rule allows, and values just outside of it."""
    match rule:
        case IntegerRule(lowest=lowest, highest=highest):
            inside = st.integers(lowest, highest)
            return st.one_of(inside, inside, inside, st.sampled_from([lowest - 1, highest + 1]))
        case DecimalRule() | SignalNumberRule():
            lowest, highest = Decimal(str(rule.lowest)), Decimal(str(rule.highest))
            inside = st.decimals(lowest, highest, places=4).map(format_decimal)
            return st.one_of(
                inside, inside, inside, st.sampled_from([format_decimal(lowest - _PIP), format_decimal(highest + _PIP)])
            )
        case WordRule(words=allowed):
            return st.sampled_from(allowed)
        case BooleanRule():
            return st.booleans()
    return symbols


def _field(path: str) -> st.SearchStrategy[tuple[str, Any]]:
    key = path.rpartition(".")[2]
    if path.startswith("spec.rules."):
        return st.tuples(st.just(path), _mostly(_near(RULES[key].rule)))
    if key in SCAVENGER.rules and path.startswith("spec.parameters."):
        return st.tuples(st.just(path), _mostly(_near(SCAVENGER.rules[key])))
    return st.tuples(st.just(path), anything)


def _mostly(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 5).flatmap(lambda die: likely if die else anything)


def _changes(paths: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(paths).flatmap(_field), min_size=1, max_size=2).map(dict)


POLICY_FIELDS = [
    *(f"spec.rules.{key}" for key in RULES),
    *(f"spec.act.{key}" for key in ("verb", "nonce", "by", "reason", "phase")),
    *(f"spec.signature.{key}" for key in ("bundle", "account", "sequence")),
    "spec.posture",
    "spec.act",
    "spec.signature",
    "metadata.name",
]
PHASE_FIELDS = [
    *(f"spec.parameters.{key}" for key in SCAVENGER.rules),
    *(f"spec.parameters.{key}" for key in ("source", "seed", "files", "speed", "stepMs", "durationS")),
    *(f"spec.parameters.{key}" for key in ("initialBalance", "latencyMs")),
    *(f"spec.resources.{side}.{key}" for side in ("requests", "limits") for key in ("cpu", "memory")),
    *(f"spec.{key}" for key in ("role", "mode", "suspend", "onDelete", "symbols", "image", "parameters", "storage")),
    "spec.margin.leverage",
    "spec.margin",
    "spec.secretRef.name",
    "spec.databaseSecretRef.name",
    "spec.imagePullSecrets",
    "spec.imagePullSecrets.0.name",
    "spec.storage.size",
    "spec.policyRef.name",
    "spec.policyRef.hash",
    "metadata.name",
]
# The scavenger has the most of its own.
BASE_NAMES = ["marketdata", "replay", "papervenue", "execution", "brain", *["scavenger"] * 8]


@pytest.fixture(scope="module")
def api(cluster: ControlPlane) -> Iterator[CrdApi]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    found = CrdApi(cluster.admin, NAMESPACE)
    yield found
    found.close()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _changed(base: str, changes: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return changed(BASES[base], changes)
    except (KeyError, TypeError, ValueError):
        return None  # there is nothing to take away, or something else where the field would be


def _problems(manifest: dict[str, Any]) -> tuple[str, ...]:
    try:
        read_live(manifest)
    except ResourceError as error:
        return error.problems
    return ()


@settings(max_examples=EXAMPLES)
@given(_changes(POLICY_FIELDS))
def test_policies(api: CrdApi, changes: dict[str, Any]) -> None:
    manifest = _changed("policy", changes)
    if manifest is None:
        return
    try:
        digest = policy_hash(parse_rules(manifest["spec"]["rules"]))
    except PolicyError:
        digest = DIGEST
    manifest["spec"]["hash"] = digest
    if "metadata.name" not in changes:
        manifest["metadata"]["name"] = f"demo-{short_hash(digest)}"
    _agree(api, manifest)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(BASE_NAMES), _changes(PHASE_FIELDS))
def test_phases(api: CrdApi, base: str, changes: dict[str, Any]) -> None:
    manifest = _changed(base, changes)
    if manifest is not None:
        _agree(api, manifest)


def _agree(api: CrdApi, manifest: dict[str, Any]) -> None:
    name = manifest["metadata"].get("name")
    if not isinstance(name, str) or not name:
        return  # the API server's own rule, before any of ours
    causes, problems = api.create(manifest), _problems(manifest)
    assert bool(causes) == bool(problems), (causes, problems)
