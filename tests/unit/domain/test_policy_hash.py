"""The hash against an independent RFC 8785 implementation (tests/data/policy_hash/README.md names it)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.policy import PolicyError, load_rules_json, parse_rules
from titan.domain.policy_hash import canonical_bytes, policy_hash, read_policy, short_hash

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "tests" / "data" / "policy_hash"
INPUTS = json.loads((VECTORS / "inputs.json").read_text())
EXPECTED = json.loads((VECTORS / "expected.json").read_text())


def test_the_vectors_are_complete_and_say_who_made_them() -> None:
    assert EXPECTED["made_by"] == "npm canonicalize 4.0.0"
    assert INPUTS["objects"].keys() == EXPECTED["objects"].keys()
    assert INPUTS["policies"].keys() == EXPECTED["policies"].keys()
    assert len(EXPECTED["objects"]) >= 20
    assert len(EXPECTED["policies"]) >= 12


@pytest.mark.parametrize("name", EXPECTED["objects"])
def test_canonical_bytes_are_those_of_the_other_implementation(name: str) -> None:
    canonical = canonical_bytes(json.loads(INPUTS["objects"][name]))
    assert canonical.hex() == EXPECTED["objects"][name]["utf8_hex"]
    assert "sha256:" + hashlib.sha256(canonical).hexdigest() == EXPECTED["objects"][name]["sha256"]


@pytest.mark.parametrize("name", EXPECTED["policies"])
def test_policy_hashes_are_those_of_the_other_implementation(name: str) -> None:
    data = INPUTS["policies"][name].encode()
    assert policy_hash(load_rules_json(data)) == EXPECTED["policies"][name]
    assert read_policy(data).hash == EXPECTED["policies"][name]


@pytest.mark.parametrize("name", ["standard", "micro", "alpha", "demo"])
def test_the_policy_files_carry_their_own_hash_and_name(name: str) -> None:
    document = yaml.safe_load((ROOT / "policies" / f"{name}.yaml").read_text())
    assert document["spec"]["hash"] == EXPECTED["policies"][name]
    assert policy_hash(document["spec"]["rules"]) == EXPECTED["policies"][name]
    assert document["metadata"]["name"] == f"{name}-{short_hash(EXPECTED['policies'][name])}"


@pytest.mark.parametrize(
    ("description", "value", "sentence"),
    [
        ("float", {"a": [1, {"b": 0.5}]}, r"^a\[1\]\.b: 0\.5 \(a float\); allowed are decimal strings and integers"),
        ("whole float", 1.0, r"^value: 1\.0 \(a float\)"),
        ("NaN", {"a": float("nan")}, r"^a: nan \(a float\)"),
        ("infinity", [float("inf")], r"^\[0\]: inf \(a float\)"),
        ("beyond what JSON keeps exact", {"a": 2**53}, r"^a: 9007199254740992 \(an integer\)"),
        ("beyond, negative", {"a": -(2**53)}, r"^a: -9007199254740992 \(an integer\)"),
        ("lone surrogate", "\ud800", "non-UTF-8"),
        ("key that is no string", {1: 2}, "keys must be strings"),
        ("Decimal", {"a": Decimal(1)}, "unsupported type"),
    ],
)
def test_what_has_no_one_spelling_has_no_bytes(description: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        canonical_bytes(value)


@pytest.mark.parametrize(
    ("description", "key", "value"),
    [
        ("another spelling of a decimal", "maxDailyLoss", "1000.0"),
        ("a float", "maxDailyLoss", 1000.0),
        ("an unknown rule", "maxDailyLosses", "1000"),
        ("null for absent", "liveApproval", None),
    ],
)
def test_what_is_no_policy_has_no_hash(description: str, key: str, value: object) -> None:
    rules = json.loads(INPUTS["policies"]["standard"])
    with pytest.raises(PolicyError, match=rf"^rules\.{key}: "):
        policy_hash({**rules, key: value})


def test_one_edited_rule_in_the_enforced_object_is_another_hash() -> None:
    rules = parse_rules(INPUTS["policies"]["standard"].encode())
    edited = msgspec.structs.replace(rules, max_order_notional=Decimal("10000.00000001"))
    assert policy_hash(rules) == EXPECTED["policies"]["standard"]
    assert policy_hash(edited) != EXPECTED["policies"]["standard"]


def test_a_number_with_zeros_that_code_put_there_is_hashed_in_its_canonical_spelling() -> None:
    rules = parse_rules(INPUTS["policies"]["standard"].encode())
    same = msgspec.structs.replace(rules, max_order_notional=Decimal("1.0000E+4"))
    assert policy_hash(same) == EXPECTED["policies"]["standard"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_canonical_bytes_keep_the_value_and_are_their_own_canonical_form(value: Any) -> None:
    canonical = canonical_bytes(value)
    assert json.loads(canonical) == value
    assert canonical_bytes(json.loads(canonical)) == canonical


def test_importing_the_policy_is_cheap() -> None:
    # It is imported in every process: beside our own code it brings a hash and the canonical form, and nothing else.
    program = (
        "import json, msgspec, sys; before = set(sys.modules); import titan.domain.policy_hash;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    brought = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "titan" in brought
    assert set(brought) <= {"titan", "rfc8785", "hashlib", "_hashlib", "_blake2"}
