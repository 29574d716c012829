"""A new policy from an old one: values as rules spell them, a name by its hash, a ceiling that opens nothing."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster.objects import HASH, OTHER_HASH, RULES, policy
from titan.cli.cluster.policy_edit import base_name, edited, manifest, pin_of, rules_of
from titan.cli.errors import BadInput
from titan.domain.enums import Posture
from titan.domain.policy import parse_rules, rules_document
from titan.domain.policy_hash import policy_hash
from titan_operator.api import RiskPolicy

BEFORE = parse_rules(RULES)


@pytest.mark.parametrize(
    ("description", "setting", "key", "value"),
    [
        ("a decimal", "maxOrderNotional=5000", "maxOrderNotional", "5000"),
        ("a count", "maxEntryOrdersPerSymbol=3", "maxEntryOrdersPerSymbol", 3),
        ("a boolean", "twoPersonArm=true", "twoPersonArm", True),
        ("a word", "onVenueFailure=halt", "onVenueFailure", "halt"),
        ("symbols", "symbols=BTC/USDT, BTC/USDT:USDT", "symbols", ["BTC/USDT", "BTC/USDT:USDT"]),
        ("modes", "modes=paper,shadow", "modes", ["paper", "shadow"]),
    ],
)
def test_settings(description: str, setting: str, key: str, value: object) -> None:
    assert rules_document(edited(BEFORE, [setting])) == {**RULES, key: value}


def test_approval_is_set_as_json_and_removed_by_an_empty_value() -> None:
    approval = '{"reference": "R-1", "approvedBy": "ana", "expires": "2027-01-31T00:00:00Z"}'
    live = edited(BEFORE, ["modes=paper,live", f"liveApproval={approval}"])
    assert live.live_approval is not None
    assert live.live_approval.approved_by == "ana"
    assert edited(live, ["liveApproval=", "modes=paper"]) == BEFORE


@pytest.mark.parametrize(
    ("description", "settings", "message"),
    [
        ("no value", ["maxOrderNotional"], r"--set: 'maxOrderNotional'; allowed is RULE=VALUE"),
        ("no such rule", ["maxOrderNotionl=1"], "no rule has this name; did you mean maxOrderNotional?"),
        ("too much", ["maxAccountLeverage=51"], "rules.maxAccountLeverage: '51' .*from 0.1 to 50"),
        ("not canonical", ["maxOrderNotional=5e3"], "rules.maxOrderNotional: '5e3' .*canonical decimal string"),
        (
            "no count",
            ["maxEntryOrdersPerSymbol=1.5"],
            "rules.maxEntryOrdersPerSymbol: '1.5' .*an integer from 1 to 100",
        ),
        ("no boolean", ["twoPersonArm=yes"], "rules.twoPersonArm: 'yes' .*true or false"),
        ("no approval", ["liveApproval=ana"], "rules.liveApproval: 'ana' .*an object of exactly"),
        ("nothing for a rule that must be", ["equityFloor="], "rules.equityFloor: '' .*canonical decimal string"),
        ("a contradiction", ["maxOrderNotional=60000"], "maxOrderNotional <= maxPositionNotional"),
        ("all problems", ["maxOrderNotional=x", "equityFloor=y"], "rules.maxOrderNotional: .*; rules.equityFloor: "),
    ],
)
def test_bad_settings(description: str, settings: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        edited(BEFORE, settings)


def test_the_manifest_is_one_that_the_operator_reads() -> None:
    rules = edited(BEFORE, ["maxOrderNotional=5000"])
    made = manifest(rules, "demo", Posture.CLOSE_ONLY)
    read = RiskPolicy.model_validate(made)
    assert (read.spec.rules, read.spec.hash, read.spec.ceiling) == (rules, policy_hash(rules), Posture.CLOSE_ONLY)
    assert read.metadata.name == f"demo-{policy_hash(rules)[7:15]}"


@pytest.mark.parametrize(
    ("description", "name", "base"),
    [
        ("with its hash", "standard-3f9a1c02", "standard"),
        ("with hyphens", "very-careful-3f9a1c02", "very-careful"),
        ("without", "standard", "standard"),
        ("a hash's look only", "standard-3f9a1c0", "standard-3f9a1c0"),
    ],
)
def test_base_name(description: str, name: str, base: str) -> None:
    assert base_name(name) == base


@pytest.mark.parametrize("base", ["", "Standard", "-standard", "standard-", "a.b", "x" * 55])
def test_bad_names(base: str) -> None:
    with pytest.raises(BadInput, match="--name: "):
        manifest(BEFORE, base, Posture.CLOSE_ONLY)


def test_the_longest_name_is_allowed() -> None:
    assert len(manifest(BEFORE, "x" * 54, Posture.ARMED)["metadata"]["name"]) == 63


def _without_rules() -> dict[str, Any]:
    found = policy("demo")
    del found["spec"]["rules"]
    return found


@pytest.mark.parametrize(
    ("description", "document", "message"),
    [
        ("another hash", policy("demo", policy_hash=OTHER_HASH), f"hash to {HASH}, spec.hash says {OTHER_HASH}"),
        ("no rules", _without_rules(), "spec.rules: missing"),
        ("no spec", {"metadata": {"name": "demo"}}, "spec.rules: missing"),
    ],
)
def test_policy_of_another_hash_is_refused(description: str, document: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        rules_of(document, "demo")


def test_pin() -> None:
    assert pin_of(policy("demo")) == {"name": "demo", "hash": HASH}
