"""The hash of a risk policy: SHA-256 over a domain separator and the RFC 8785 JSON of its rules.

The operator, every phase, Brain and Execution compute it from the rules that they enforce. No setting accepts a hash.
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
# The separator keeps a policy's hash distinct from the hash of any other document of the stack.
_SEPARATOR = b"titan.riskpolicy.v1\n"
_LARGEST = 2**53 - 1


class Policy(msgspec.Struct, frozen=True):
    """Rules with their hash. Only :func:`read_policy` makes it, so that both always agree."""

    rules: PolicyRules
    hash: str


def canonical_bytes(value: object) -> bytes:
    """Encode a decoded JSON value as RFC 8785 JSON.

    Raises
    ------
    ValueError
        For floats (RFC 8785 allows them, policies do not), integers beyond 2^53 - 1, lone surrogates, keys that are no
        strings, and values outside JSON.
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
        Typed rules, or a decoded document, which is validated first.

    Raises
    ------
    PolicyError
        When a document is no valid policy: such a document has no hash.
    """
    typed = rules if isinstance(rules, PolicyRules) else parse_rules(rules)
    return "sha256:" + hashlib.sha256(_SEPARATOR + canonical_bytes(rules_document(typed))).hexdigest()


def read_policy(source: bytes | Mapping[str, object]) -> Policy:
    """Read rules and compute their hash.

    Raises
    ------
    PolicyError
        With every problem.
    """
    rules = parse_rules(source)
    return Policy(rules, policy_hash(rules))


def short_hash(policy_hash_text: str) -> str:
    """Shorten a hash to its first eight hexadecimal digits, the end of a RiskPolicy's name."""
    return policy_hash_text.removeprefix("sha256:")[:8]
