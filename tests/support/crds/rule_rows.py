"""Rows of a table that breaks each rule of the domain at each of its edges; made of the rules."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from support.crds.manifests import ABSENT, Row
from titan.domain.numbers import format_decimal
from titan.domain.policy_rules import RULES, BooleanRule, DecimalRule, IntegerRule, WordRule
from titan_operator.api.parameters import SCAVENGER
from titan_operator.api.signal_parameters import SignalNumberRule

_PIP = Decimal("0.00001")


def rule_rows() -> list[Row]:
    """Each rule of a policy, and each parameter of the scavenger."""
    rows: list[Row] = []
    for key, entry in RULES.items():
        path = f"spec.rules.{key}"
        rows += _edges("policy", path, entry.rule)
        if not entry.optional:
            rows.append(Row(f"{key} missing", "policy", {path: ABSENT}, f"{path}: Required value", f"{path}: missing"))
    for key, rule in SCAVENGER.rules.items():
        path = f"spec.parameters.{key}"
        rows += _edges("scavenger", path, rule)
        rows.append(_foreign(key, rule))
    return rows


def _foreign(key: str, rule: object) -> Row:
    says = f"parameters.{key}: allowed only for role scavenger"
    return Row(
        f"{key} of another role",
        "papervenue",
        {f"spec.parameters.{key}": _valid(rule)},
        f"spec: Invalid value: {says}",
        f"spec.parameters.{key}: ",
    )


def _valid(rule: object) -> Any:
    match rule:
        case IntegerRule(lowest=lowest):
            return lowest
        case SignalNumberRule(highest=highest):
            return format(highest, "g")
        case WordRule(words=words):
            return words[0]
    raise TypeError(rule)


def _edges(base: str, path: str, rule: object) -> Iterator[Row]:
    key = path.rpartition(".")[2]

    def row(what: str, value: object, api: str) -> Row:
        allowed: Any = getattr(rule, "allowed")  # noqa: B009 - each rule that is matched has it
        return Row(f"{key} {what}", base, {path: value}, f"{path}: {api}", f"allowed is {allowed}")

    match rule:
        case IntegerRule(lowest=lowest, highest=highest):
            yield row("too low", lowest - 1, f"Invalid value: {lowest - 1}: {path} in body should be greater")
            yield row("too high", highest + 1, f"Invalid value: {highest + 1}: {path} in body should be less")
        case DecimalRule() | SignalNumberRule():
            lowest, highest = Decimal(str(rule.lowest)), Decimal(str(rule.highest))
            above = isinstance(rule, SignalNumberRule) and rule.above
            low, high = format_decimal(lowest if above else lowest - _PIP), format_decimal(highest + _PIP)
            yield row("too low", low, f'Invalid value: "{low}": allowed is {rule.allowed}')
            yield row("too high", high, f'Invalid value: "{high}": allowed is {rule.allowed}')
            yield row("no canonical decimal", "1k", f'Invalid value: "1k": {path} in body should match')
            yield row("too long", "1" * 39, "Too long: may not be more than 38 bytes")
        case WordRule():
            yield row("another word", "perhaps", 'Unsupported value: "perhaps"')
        case BooleanRule():
            yield row("no boolean", "yes", 'Invalid value: "string": ')
