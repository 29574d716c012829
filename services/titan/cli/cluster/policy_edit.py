"""Pure: a new RiskPolicy from an old one. A changed rule makes a new object, named by its hash."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from titan.cli.errors import BadInput
from titan.domain.enums import Posture
from titan.domain.policy import PolicyError, PolicyRules, parse_rules, rules_document
from titan.domain.policy_hash import policy_hash, short_hash
from titan.domain.policy_rules import RULES, BooleanRule, IntegerRule, LiveApprovalRule, ModesRule, Rule, SymbolsRule

_SUFFIX = re.compile(r"-[0-9a-f]{8}$")
# Longest name of a Kubernetes object that is also a label, less the hash.
_LONGEST_BASE = 63 - 9


def rules_of(document: Mapping[str, Any], where: str) -> PolicyRules:
    """Read the rules of a RiskPolicy's object strictly, and compare its declared hash with them.

    Raises
    ------
    BadInput
        When the rules are invalid, or the object declares another hash; ``where`` begins the message.
    """
    spec = document.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(rules, Mapping):
        raise BadInput(f"{where}: spec.rules: missing; allowed is a RiskPolicy with its rules")
    try:
        typed = parse_rules(rules)
    except PolicyError as error:
        raise BadInput(f"{where}: {'; '.join(error.problems)}") from error
    declared, actual = spec.get("hash"), policy_hash(typed)
    if declared != actual:
        raise BadInput(
            f"{where}: the rules hash to {actual}, spec.hash says {declared}; allowed is the rules' own hash"
        )
    return typed


def edited(rules: PolicyRules, settings: Sequence[str]) -> PolicyRules:
    """Apply ``RULE=VALUE`` settings to rules; an empty value removes an optional rule.

    Raises
    ------
    BadInput
        With the first malformed setting, or with every rule that would be invalid.
    """
    document = rules_document(rules)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise BadInput(f"--set: {setting!r}; allowed is RULE=VALUE, like maxOrderNotional=5000")
        entry = RULES.get(key)
        if entry is not None and entry.optional and not text:
            document.pop(key, None)
        else:
            # The parser refuses an unknown rule with all others, and knows the nearest name.
            document[key] = text if entry is None else _value(entry.rule, text)
    try:
        return parse_rules(document)
    except PolicyError as error:
        raise BadInput("--set: " + "; ".join(error.problems)) from error


def _value(rule: Rule, text: str) -> object:
    # An unreadable value stays text: the parser refuses it and describes what is allowed.
    if isinstance(rule, IntegerRule):
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
    if isinstance(rule, BooleanRule):
        return {"true": True, "false": False}.get(text, text)
    if isinstance(rule, SymbolsRule | ModesRule):
        return [part.strip() for part in text.split(",")]
    if isinstance(rule, LiveApprovalRule):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def base_name(name: str) -> str:
    """Strip the hash from a name: ``standard-3f9a1c02`` is ``standard``."""
    return _SUFFIX.sub("", name)


def manifest(rules: PolicyRules, base: str, ceiling: Posture) -> dict[str, Any]:
    """Make the RiskPolicy of these rules, with ``ceiling`` as its posture.

    Raises
    ------
    BadInput
        When ``base`` gives no valid name.
    """
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", base) or len(base) > _LONGEST_BASE:
        raise BadInput(
            f"--name: {base!r}; allowed are 1 to {_LONGEST_BASE} lower-case letters, digits and "
            "inner hyphens, like standard-2"
        )
    hashed = policy_hash(rules)
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "RiskPolicy",
        "metadata": {"name": f"{base}-{short_hash(hashed)}"},
        "spec": {"rules": rules_document(rules), "hash": hashed, "posture": ceiling.name},
    }


def pin_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Make the ``spec.policyRef`` that pins this RiskPolicy; raises as :func:`rules_of` does."""
    name = str(document["metadata"]["name"])
    return {"name": name, "hash": policy_hash(rules_of(document, f"RiskPolicy {name}"))}
