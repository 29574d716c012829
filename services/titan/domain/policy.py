"""Reading a risk policy's rules, strictly: one spelling, nothing defaulted, everything bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.numbers import ceil_to, format_decimal
from titan.domain.policy_rules import RULES, LiveApproval, Mode, NumberLiteral, PolicyRules, RuleError, shown, spelled

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
    """A document that is no policy. ``problems`` holds every sentence; the message is the first and their count."""

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
        One problem: the malformed part and its place.
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
        raise PolicyError([f"rules: malformed JSON at {where}: {error.msg}; allowed is a JSON object"]) from error
    except RecursionError as error:
        raise PolicyError(["rules: JSON nested too deeply; allowed is an object of rules"]) from error
    if not isinstance(value, dict):
        raise PolicyError([f"rules: {spelled(value)}; allowed is a JSON object"])
    return value


def _integer(text: str) -> int | NumberLiteral:
    # Twenty characters hold any integer that a rule takes; Python refuses to read one of thousands of digits.
    return int(text) if len(text) <= 20 else NumberLiteral(text, "an integer")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise PolicyError(
                [f"rules.{shown(key)}: given twice, {spelled(found[key])} and {spelled(value)}; allowed is once"]
            )
        found[key] = value
    return found


def parse_rules(source: bytes | Mapping[str, object]) -> PolicyRules:
    """Read rules from JSON bytes or from an object that was already decoded strictly.

    Parameters
    ----------
    source
        A JSON object in UTF-8, or its decoded form (str keys; str, int, bool, list and dict values).

    Raises
    ------
    PolicyError
        With every problem found: each a sentence with the field, the value and what is allowed.
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
    """Return the JSON object of typed rules, in the spelling of the parsed document, so that both have one hash."""
    return {
        key: entry.rule.write(value)
        for key, entry in RULES.items()
        if (value := getattr(rules, entry.field)) is not None
    }


def _unknown(key: str, value: object) -> str:
    import difflib  # only a refusal needs it

    near = difflib.get_close_matches(key, RULES, n=1)
    hint = f"{near[0]}?" if near else "the rules of the domain's table"
    return f"rules.{shown(key)}: {spelled(value)}: no such rule; allowed is {hint}"


class Ascending(msgspec.Struct, frozen=True):
    """Rules whose values rise from key to key; where ``strict``, none equals the next."""

    keys: tuple[str, ...]
    strict: bool

    @property
    def sign(self) -> str:
        """Return the relation between adjacent rules."""
        return "<" if self.strict else "<="

    @property
    def allowed(self) -> str:
        """Return the allowed values in words."""
        return f" {self.sign} ".join(self.keys)

    def problem(self, rules: PolicyRules) -> str | None:
        """The first two that do not rise, or None."""
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
    """Say why the policy does not allow ``mode``, or None.

    A policy that names ``live`` allows it only with an approval that has not expired: the policies as shipped name it
    and carry none.

    Parameters
    ----------
    now_ns
        UTC nanoseconds; None leaves the approval's end out of account (a gate that has no clock).
    """
    if mode not in rules.modes:
        return f"mode: {mode} is not among the policy's modes; allowed is one of {', '.join(rules.modes)}"
    if mode != "live":
        return None
    approval = rules.live_approval
    if approval is None:
        return "mode: live needs rules.liveApproval in the policy; allowed without it is paper"
    if now_ns is not None and now_ns >= approval.expires_ns:
        return f"mode: live was approved until {approval.expires} ({approval.reference}); allowed now is paper"
    return None


def untradable_symbols(
    rules: PolicyRules,
    instruments: Mapping[str, Instrument],
    prices: Mapping[str, Decimal] | None = None,
) -> list[str]:
    """Name each symbol of the policy that could never be traded: not listed, or its minima above the limits.

    Parameters
    ----------
    instruments
        What the venue lists, by unified symbol.
    prices
        Quote units by symbol, where known: then the least quantity and its step count too, not only the least
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
