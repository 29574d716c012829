"""Strict reading of a risk policy's rules: one spelling, no defaults, every value bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.numbers import ceil_to, format_decimal
from titan.domain.policy_enforcement import gaps
from titan.domain.policy_rules import (
    MODES,
    RULES,
    LiveApproval,
    Mode,
    NumberLiteral,
    PolicyRules,
    RuleError,
    shown,
    spelled,
)

__all__ = [
    "ASCENDING",
    "MAX_DOCUMENT_BYTES",
    "Ascending",
    "LiveApproval",
    "PolicyError",
    "PolicyRules",
    "load_rules_json",
    "mode_problem",
    "parse_rules",
    "rules_document",
    "untradable_symbols",
]

MAX_DOCUMENT_BYTES = 256 * 1024


class PolicyError(ValueError):
    """A document that is no policy. ``problems`` holds every sentence; the message is the first one and a count."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more)" if more else ""))


def load_rules_json(data: bytes) -> dict[str, object]:
    """Decode a JSON object as RFC 8785 requires its input: UTF-8, no key twice, no float, no NaN.

    Numbers with a fraction or an exponent are kept as :class:`NumberLiteral`, so that :func:`parse_rules` can name the
    field that holds one.

    Raises
    ------
    PolicyError
        With one problem: the malformed part and its place.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise PolicyError([f"rules: {len(data)} bytes; allowed are {MAX_DOCUMENT_BYTES}"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError([f"rules: byte {error.start} is not UTF-8; allowed is a JSON object in UTF-8"]) from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=NumberLiteral,
            parse_int=_integer,
            parse_constant=NumberLiteral,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise PolicyError(
            [f'rules: malformed JSON at {where}; allowed is a JSON object, like {{"maxDailyLoss": "20", …}}']
        ) from error
    except RecursionError as error:
        raise PolicyError(["rules: JSON nested too deeply; allowed is an object of rules"]) from error
    if not isinstance(value, dict):
        raise PolicyError([f"rules: {spelled(value)}; allowed is a JSON object"])
    return value


def _integer(text: str) -> int | NumberLiteral:
    # Twenty characters hold any integer that a rule takes; Python refuses to read one of thousands of digits.
    return int(text) if len(text) <= 20 else NumberLiteral(text, "an integer")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique: dict[str, object] = {}
    for key, value in pairs:
        if key in unique:
            raise PolicyError(
                [f"rules.{shown(key)}: given twice, {spelled(unique[key])} and {spelled(value)}; allowed is once"]
            )
        unique[key] = value
    return unique


def parse_rules(source: bytes | Mapping[str, object]) -> PolicyRules:
    """Read rules from JSON bytes or from a strictly decoded object.

    Parameters
    ----------
    source
        A JSON object in UTF-8, or its decoded form (str keys; str, int, bool, list and dict values).

    Raises
    ------
    PolicyError
        With every problem: each a sentence with the field, its value and what is allowed.
    """
    document = load_rules_json(source) if isinstance(source, bytes) else source
    problems: list[str] = []
    values: dict[str, object] = {}
    for key, entry in RULES.items():
        if key not in document:
            if not entry.optional:
                problems.append(f"rules.{key}: missing; allowed is {entry.rule.allowed}")
            continue
        try:
            values[entry.field] = entry.rule.read(document[key])
        except RuleError as error:
            problems.append(f"rules.{key}: {error}")
    problems += [_unknown(key, value) for key, value in document.items() if key not in RULES]
    if problems:
        raise PolicyError(problems)
    rules = msgspec.convert(values, PolicyRules)
    contradictions = [sentence for check in _CONTRADICTIONS if (sentence := check(rules)) is not None]
    if contradictions:
        raise PolicyError(contradictions)
    return rules


def rules_document(rules: PolicyRules) -> dict[str, object]:
    """Make the JSON object of typed rules, in the spelling that was parsed, so that its hash is theirs."""
    return {
        key: entry.rule.write(value)
        for key, entry in RULES.items()
        if (value := getattr(rules, entry.field)) is not None
    }


def _unknown(key: str, value: object) -> str:
    import difflib  # only a refusal needs it

    near = difflib.get_close_matches(key, RULES, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else "allowed are the rules that docs/resources.md lists, like maxOrderNotional"
    )
    return f"rules.{shown(key)}: {spelled(value)}, but no rule has this name; {hint}"


class Ascending(msgspec.Struct, frozen=True):
    """Rules whose values rise from key to key; where ``strict``, no value equals the next."""

    keys: tuple[str, ...]
    strict: bool

    @property
    def sign(self) -> str:
        """Comparison sign between neighbors."""
        return "<" if self.strict else "<="

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f" {self.sign} ".join(self.keys)

    def problem(self, rules: PolicyRules) -> str | None:
        """Describe the first two values that do not rise; None where all do."""
        numbers = [getattr(rules, RULES[key].field) for key in self.keys]
        for lower, upper, lower_key, upper_key in zip(numbers, numbers[1:], self.keys, self.keys[1:], strict=False):
            if lower > upper or (self.strict and lower == upper):
                return f"rules.{lower_key}: {lower} with {upper_key} {upper}; allowed is {self.allowed}"
        return None


ASCENDING: tuple[Ascending, ...] = (
    Ascending(("drawdownCaution", "drawdownDefensive", "drawdownEmergency"), strict=True),
    Ascending(("maxOrderNotional", "maxPositionNotional", "maxTotalNotional"), strict=False),
    Ascending(("maxLossPerTrade", "maxDailyLossFraction"), strict=False),
    Ascending(("latencyReduceMs", "latencyRejectMs"), strict=True),
    Ascending(("defensiveTruthScore", "minTruthScore"), strict=True),
    Ascending(("venueErrorsDefensive", "venueErrorsEmergency"), strict=True),
)


def _approval_has_use(rules: PolicyRules) -> str | None:
    if rules.live_approval is not None and "live" not in rules.modes:
        modes = ", ".join(rules.modes)
        return f"rules.liveApproval: given, but modes are {modes}; allowed is an approval only where modes hold live"
    return None


_CONTRADICTIONS: tuple[Callable[[PolicyRules], str | None], ...] = (
    *(rising.problem for rising in ASCENDING),
    _approval_has_use,
)


def mode_problem(rules: PolicyRules, mode: Mode, now_ns: int | None = None) -> str | None:
    """Describe why a stack may not run in ``mode`` under the policy; None where it may.

    A policy that names ``live`` allows it only with an approval that has not expired, and only where every rule is
    enforced. The shipped policies name it and carry no approval.

    Parameters
    ----------
    now_ns
        UTC nanoseconds; None ignores the approval's end (for a gate without a clock).
    """
    if mode not in rules.modes:
        return f"mode: {mode} is not among the policy's modes; allowed is one of {', '.join(rules.modes)}"
    if mode == "live":
        approval = rules.live_approval
        if approval is None:
            return "mode: live needs rules.liveApproval in the policy; allowed without it is paper"
        if now_ns is not None and now_ns >= approval.expires_ns:
            return f"mode: live was approved until {approval.expires} ({approval.reference}); allowed now is paper"
        if open_rules := gaps(rules):
            named = ", ".join(gap.rule for gap in open_rules)
            return f"mode: live needs every rule enforced, and nothing enforces {named}; allowed is paper"
    return f"mode: {MODES[mode]}; allowed is paper" if MODES[mode] else None


def untradable_symbols(
    rules: PolicyRules,
    instruments: Mapping[str, Instrument],
    prices: Mapping[str, Decimal] | None = None,
) -> list[str]:
    """Describe each symbol of the policy that can never be traded: not listed, or its minimum above the limits.

    Parameters
    ----------
    instruments
        The venue's instruments, by unified symbol.
    prices
        Quote units by symbol, where known. With a price the least quantity and its step count too, else only the least
        notional.

    Returns
    -------
    list of str
        A sentence a symbol; empty when every symbol can be traded.
    """
    limit = min(rules.max_order_notional, rules.max_position_notional, rules.max_total_notional)
    known = prices or {}
    return [
        sentence
        for symbol in rules.symbols
        if (sentence := _untradable(symbol, instruments.get(symbol), limit, known.get(symbol), instruments)) is not None
    ]


def _untradable(
    symbol: str, instrument: Instrument | None, limit: Decimal, price: Decimal | None, listed: Iterable[str]
) -> str | None:
    if instrument is None:
        return f"rules.symbols: {symbol} is not listed by the venue; allowed are {', '.join(sorted(listed))}"
    least = instrument.min_notional
    if price is not None:
        quantity = max(instrument.min_quantity, instrument.min_notional / price)
        least = ceil_to(quantity, instrument.quantity_step) * price
    if least <= limit:
        return None
    return (
        f"rules.symbols: {symbol} can never be traded: the venue's least order is {format_decimal(least)} "
        f"{instrument.quote}, the policy's least limit on an order is {format_decimal(limit)}"
    )
