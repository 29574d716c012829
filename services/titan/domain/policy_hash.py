"""The hash of a risk policy: SHA-256 over a domain separator and the RFC 8785 JSON of its rules.

It is computed from the rules that are enforced, in the operator, in every phase, in Brain and in Execution. No setting
accepts a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import rfc8785

from titan.domain.policy import PolicyRules, parse_rules, rules_document
from titan.domain.policy_rules import NumberLiteral, spelled

HASH_PATTERN = r"^sha256:[0-9a-f]{64}$"
# Keeps a policy's hash from ever being the hash of some other document of the stack.
_SEPARATOR = b"titan.riskpolicy.v1\n"
_LARGEST = 2**53 - 1


class Policy(msgspec.Struct, frozen=True):
    """Rules and their hash, which cannot be set apart from them: made by :func:`read_policy` only."""

    rules: PolicyRules
    hash: str


def canonical_bytes(value: object) -> bytes:
    """RFC 8785 JSON of a decoded JSON value.

    Raises
    ------
    ValueError
        For floats (RFC 8785 allows them, policies do not), integers beyond 2^53 - 1, lone surrogates, keys that are
        no strings, and values that are not of JSON.
    """
    _refuse_inexact(value, "")
    return rfc8785.dumps(cast(Any, value))


def _refuse_inexact(value: object, path: str) -> None:
    inexact = isinstance(value, float | NumberLiteral) or (isinstance(value, int) and abs(value) > _LARGEST)
    if inexact:
        raise ValueError(
            f"{path or 'value'}: {spelled(value)}; allowed are decimal strings and integers up to {_LARGEST}"
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_inexact(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_inexact(item, f"{path}[{index}]")


def policy_hash(rules: PolicyRules | Mapping[str, object]) -> str:
    """Hash rules, as ``sha256:`` and 64 lower-case hexadecimal digits.

    Parameters
    ----------
    rules
        The typed rules that are enforced, or a decoded document, which is validated first.

    Raises
    ------
    PolicyError
        When a document is no policy: an invalid one has no hash.
    """
    typed = rules if isinstance(rules, PolicyRules) else parse_rules(rules)
    return "sha256:" + hashlib.sha256(_SEPARATOR + canonical_bytes(rules_document(typed))).hexdigest()


def read_policy(source: bytes | Mapping[str, object]) -> Policy:
    """Read rules and hash them as read.

    Raises
    ------
    PolicyError
        With every problem found.
    """
    rules = parse_rules(source)
    return Policy(rules, policy_hash(rules))


def short_hash(policy_hash_text: str) -> str:
    """The first eight hexadecimal digits: what a RiskPolicy's name ends in."""
    return policy_hash_text.removeprefix("sha256:")[:8]
