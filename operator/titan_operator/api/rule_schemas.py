"""Pure: structural schemas of rules. Bounds, patterns and words are the rules' own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import combinations
from typing import Any, get_args

from pydantic.alias_generators import to_camel

from titan.domain.numbers import CANONICAL_LONGEST, CANONICAL_PATTERN, format_decimal
from titan.domain.policy import ASCENDING, Ascending
from titan.domain.policy_rules import (
    INSTANT_LONGEST,
    INSTANT_PATTERN,
    MAX_SYMBOLS,
    PLAIN_LONGEST,
    PLAIN_PATTERN,
    RULES,
    BooleanRule,
    DecimalRule,
    IntegerRule,
    LiveApprovalRule,
    Mode,
    ModesRule,
    SymbolsRule,
    WordRule,
)
from titan.domain.symbols import UNIFIED_LONGEST, UNIFIED_PATTERN
from titan_operator.api.docstrings import field_texts
from titan_operator.api.field_types import ListRule, NamedListRule, PatternRule
from titan_operator.api.parameters import SpeedRule
from titan_operator.api.resources import PolicyRulesRule
from titan_operator.api.shared_objects import LeverageRule
from titan_operator.api.signal_parameters import ParameterTable, SignalNumberRule

Schema = dict[str, Any]

_SNAKE = re.compile(r"\b[a-z]+(_[a-z]+)+\b")


def validation(rule: str, message: str) -> dict[str, str]:
    """Return one entry of ``x-kubernetes-validations``."""
    return {"rule": rule, "message": message}


def rule_schema(rule: object) -> Schema:
    """Return the schema of a rule.

    Raises
    ------
    TypeError
        The rule has no schema: a new kind of rule needs a case here.
    """
    match rule:
        case DecimalRule(lowest=lowest, highest=highest):
            return _decimal(f"{_at_least(lowest)} && {_at_most(highest)}", rule.allowed)
        case SignalNumberRule(lowest=lowest_float, highest=highest_float, above=above):
            begins = _above(_spelled(lowest_float)) if above else _at_least(_spelled(lowest_float))
            return _decimal(f"{begins} && {_at_most(_spelled(highest_float))}", rule.allowed)
        case SpeedRule(multiple=multiple):
            inside = f"self == 'max' || ({_at_least(multiple.lowest)} && {_at_most(multiple.highest)})"
            return {**_decimal(inside, rule.allowed), "pattern": f"^(max|{CANONICAL_PATTERN[1:-1]})$"}
        case LeverageRule(highest=most):
            return {
                **_text(r"^[1-9][0-9]{0,2}$", 3),
                "x-kubernetes-validations": [validation(f"int(self) <= {most}", f"allowed is {rule.allowed}")],
            }
        case IntegerRule(lowest=least, highest=most):
            return {"type": "integer", "format": "int64", "minimum": least, "maximum": most}
        case BooleanRule():
            return {"type": "boolean"}
        case WordRule(words=words):
            return {"type": "string", "enum": list(words)}
        case PatternRule(pattern=pattern, longest=longest):
            return _text(pattern, longest)
        case ListRule(lowest=fewest, highest=most, pattern=pattern, longest=longest):
            return _set(_text(pattern, longest), fewest, most)
        case NamedListRule(highest=most, name=name):
            return _named(rule_schema(name), most)
        case ModesRule():
            return _modes(rule.allowed)
        case SymbolsRule():
            sorted_rule = validation("self.isSorted()", f"allowed is {rule.allowed}")
            items = _set(_text(UNIFIED_PATTERN, UNIFIED_LONGEST), 1, MAX_SYMBOLS)
            return {**items, "x-kubernetes-validations": [sorted_rule]}
        case LiveApprovalRule():
            return _live_approval()
        case PolicyRulesRule():
            return _policy_rules()
        case ParameterTable():
            return _parameters(rule)
    raise TypeError(f"{rule!r} has no schema")


def allowed(rule: object) -> str:
    """Return the rule's allowed values as a sentence; empty where fields or the type show them."""
    if isinstance(rule, PolicyRulesRule | ParameterTable | LiveApprovalRule | BooleanRule):
        return ""
    return f"Allowed is {getattr(rule, 'allowed')}."  # noqa: B009 - every other rule has it


def described(schema: Schema, *sentences: str) -> Schema:
    """Return the schema with a description in front."""
    return {"description": " ".join(sentence for sentence in sentences if sentence), **schema}


def _text(pattern: str, longest: int) -> Schema:
    return {"type": "string", "maxLength": longest, "pattern": pattern}


def _decimal(rule: str, allowed_words: str) -> Schema:
    # quantity() reads 1k and 1e3 too: the pattern stands before it.
    text = _text(CANONICAL_PATTERN, CANONICAL_LONGEST)
    return {**text, "x-kubernetes-validations": [validation(rule, f"allowed is {allowed_words}")]}


def _spelled(number: float) -> str:
    return format(number, "g")


def _at_least(number: str) -> str:
    return f"quantity(self).compareTo(quantity('{number}')) >= 0"


def _above(number: str) -> str:
    return f"quantity(self).compareTo(quantity('{number}')) > 0"


def _at_most(number: str) -> str:
    return f"quantity(self).compareTo(quantity('{number}')) <= 0"


def _set(items: Schema, fewest: int, most: int) -> Schema:
    least = {"minItems": fewest} if fewest else {}
    return {"type": "array", "maxItems": most, **least, "x-kubernetes-list-type": "set", "items": items}


def _named(name: Schema, most: int) -> Schema:
    return {
        "type": "array",
        "maxItems": most,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": described(name, "Its name.")},
        },
    }


def _modes(allowed_words: str) -> Schema:
    modes = get_args(Mode)
    lists = [list(chosen) for count in range(1, len(modes) + 1) for chosen in combinations(modes, count)]
    return {
        # No set: sets are equal in any order, and the order is part of the hash.
        "type": "array",
        "maxItems": len(modes),
        "minItems": 1,
        "items": {"type": "string", "enum": list(modes)},
        "x-kubernetes-validations": [validation(f"self in {lists}", f"allowed is {allowed_words}")],
    }


def _live_approval() -> Schema:
    plain = _text(PLAIN_PATTERN, PLAIN_LONGEST)
    instant = {**_text(INSTANT_PATTERN, INSTANT_LONGEST), "format": "date-time"}
    words = "Allowed are 1 to 200 plain characters."
    return {
        "type": "object",
        "required": ["approvedBy", "expires", "reference"],
        "properties": {
            "reference": described(plain, "Record of the approval.", words),
            "approvedBy": described(plain, "Name of the approver.", words),
            "expires": described(
                instant, "End of the approval, UTC.", "Allowed is an instant like 2027-01-31T00:00:00Z."
            ),
        },
    }


def _policy_rules() -> Schema:
    properties = {
        key: described(rule_schema(entry.rule), _sentence(entry.rule.doc), allowed(entry.rule))
        for key, entry in RULES.items()
    }
    approval = validation(
        "!has(self.liveApproval) || 'live' in self.modes", "liveApproval: allowed only where modes hold live"
    )
    return {
        "type": "object",
        "required": [key for key, entry in RULES.items() if not entry.optional],
        "properties": properties,
        "x-kubernetes-validations": [*(_rises(rising) for rising in ASCENDING), approval],
    }


def _rises(rising: Ascending) -> dict[str, str]:
    decimal = isinstance(RULES[rising.keys[0]].rule, DecimalRule)
    pairs = [
        f"quantity(self.{lower}).compareTo(quantity(self.{upper})) {rising.sign} 0"
        if decimal
        else f"self.{lower} {rising.sign} self.{upper}"
        for lower, upper in zip(rising.keys, rising.keys[1:], strict=False)
    ]
    return validation(" && ".join(pairs), f"allowed is {rising.allowed}")


def _parameters(table: ParameterTable[Any]) -> Schema:
    texts, defaults = field_texts(table.kind), _defaults(table)

    def value_of(field: str) -> str:
        key, default = to_camel(field), defaults[field]
        absent = f"'{_spelled(default)}'" if isinstance(default, float) else str(default)
        return f"(has(self.{key}) ? self.{key} : {absent})"

    pairs = [(lower, "<" if strict else "<=", upper) for lower, upper, strict in table.ascending]
    orders = [
        validation(
            f"{value_of(lower)} {sign} {value_of(upper)}", f"allowed is {to_camel(lower)} {sign} {to_camel(upper)}"
        )
        for lower, sign, upper in pairs
    ]
    weights = validation(
        " || ".join(f"{value_of(field)} != '0'" for field in table.one_above_zero),
        f"allowed is one at least above 0 of {', '.join(map(to_camel, table.one_above_zero))}",
    )
    return {
        "x-kubernetes-validations": [*orders, weights],
        "type": "object",
        "properties": {
            key: described(
                rule_schema(rule),
                _SNAKE.sub(lambda name: to_camel(name[0]), texts[table.fields[key]]),
                allowed(rule),
                f"Default: {spelled_default(defaults[table.fields[key]])}.",
            )
            for key, rule in table.rules.items()
        },
    }


def _defaults(table: ParameterTable[Any]) -> Mapping[str, Any]:
    made = table.kind()
    return {field: getattr(made, field) for field in table.fields.values()}


def spelled_default(value: object) -> str:
    """Return a default as a document spells it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return _spelled(value)
        case Decimal():
            return format_decimal(value)
        case tuple() if not value:
            return "none"
    return str(value)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."
