"""Every rule of a risk policy: the one table.

Each field of :class:`PolicyRules` carries its Python type and its rule for policy documents. The parser, the hashed
document and the operator's models are made from these annotations; there is no second list.

In a document counts, milliseconds and truth scores are integers, and all other numbers are canonical decimal strings.
Losses and notionals are in USDT. A fraction of 1 % is 0.01.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec

from titan.domain.numbers import format_decimal, parse_decimal
from titan.domain.symbols import is_unified
from titan.domain.time import NS_PER_S

Mode = Literal["paper", "shadow", "live"]
# Every mode, and what this version lacks for it; empty where it can run.
MODES: Mapping[Mode, str] = {
    "paper": "",
    "shadow": "shadow needs an Execution that decides, journals and sends nothing, which this version does not have",
    "live": "live needs a live venue, which this version does not have",
}
TailMode = Literal["SHADOW", "ADVISORY", "ENFORCEMENT"]
VenueFailure = Literal["flatten", "halt", "close_only"]

MAX_SYMBOLS = 200
PLAIN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._@:/#+-]{0,199}$"
PLAIN_LONGEST = 200
INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
INSTANT_LONGEST = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "a list", dict: "an object"}


class NumberLiteral(msgspec.Struct, frozen=True):
    """A number that no rule accepts (a float, NaN, a huge integer), kept in its spelling for the message."""

    text: str
    kind: str = "a float"


def shown(text: str) -> str:
    """Format a key or a value for a message: one line, printable, shortened."""
    plain = text if text.isprintable() else ascii(text)
    return plain if len(plain) <= 60 else plain[:57] + "..."


def spelled(value: object) -> str:
    """Format a refused value for a message: its spelling and its kind, shortened."""
    if value is None:
        return "null"
    if isinstance(value, NumberLiteral):
        return f"{shown(value.text)} ({value.kind})"
    return f"{shown(repr(value))} ({_KINDS.get(type(value), type(value).__name__)})"


class RuleError(ValueError):
    """A value that a rule does not allow; the message is ``<value>; allowed is <description>``."""

    def __init__(self, value: object, allowed: str) -> None:
        super().__init__(f"{spelled(value)}; allowed is {allowed}")


class DecimalRule(msgspec.Struct, frozen=True):
    """A number other than a count: a canonical decimal string between two inclusive bounds."""

    lowest: str
    highest: str
    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f"a canonical decimal string from {self.lowest} to {self.highest}"

    @property
    def _allowed_with_example(self) -> str:
        # The example shows the quotes: a number without them is a float, which no rule accepts.
        return f'{self.allowed}, like "{self.lowest}"'

    def read(self, value: object) -> Decimal:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, str):
            raise RuleError(value, self._allowed_with_example)
        try:
            number = parse_decimal(value, "")
        except ValueError as error:
            raise RuleError(value, self._allowed_with_example) from error
        if not Decimal(self.lowest) <= number <= Decimal(self.highest):
            raise RuleError(value, self._allowed_with_example)
        return number

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        assert isinstance(value, Decimal)
        return format_decimal(value)


class IntegerRule(msgspec.Struct, frozen=True):
    """A count, a number of milliseconds or a truth score, between two inclusive bounds."""

    lowest: int
    highest: int
    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f"an integer from {self.lowest} to {self.highest}"

    def read(self, value: object) -> int:
        """Convert a document value to a Python value; raises RuleError."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.lowest <= value <= self.highest:
            raise RuleError(value, self.allowed)
        return value

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        return value


class BooleanRule(msgspec.Struct, frozen=True):
    """True or false."""

    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return "true or false"

    def read(self, value: object) -> bool:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, bool):
            raise RuleError(value, self.allowed)
        return value

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        return value


class WordRule(msgspec.Struct, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]
    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f"one of {', '.join(self.words)}"

    def read(self, value: object) -> str:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, str) or value not in self.words:
            raise RuleError(value, self.allowed)
        return value

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        return value


class ModesRule(msgspec.Struct, frozen=True):
    """A list of modes in a fixed order, so that one set of modes has one hash."""

    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f"a list of some of {', '.join(get_args(Mode))}, in this order, each once"

    def read(self, value: object) -> tuple[str, ...]:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, list) or not value or value != [mode for mode in get_args(Mode) if mode in value]:
            raise RuleError(value, self.allowed)
        return tuple(value)

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        assert isinstance(value, tuple)
        return list(value)


class SymbolsRule(msgspec.Struct, frozen=True):
    """A list of unified symbols, sorted, so that one set of symbols has one hash."""

    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return f"a sorted list of 1 to {MAX_SYMBOLS} different unified symbols like BTC/USDT or BTC/USDT:USDT"

    def read(self, value: object) -> tuple[str, ...]:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_SYMBOLS:
            raise RuleError(value, self.allowed)
        for symbol in value:
            if not isinstance(symbol, str) or not is_unified(symbol):
                raise RuleError(symbol, self.allowed)
        if value != sorted(set(value)):
            raise RuleError(value, self.allowed)
        return tuple(value)

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        assert isinstance(value, tuple)
        return list(value)


class LiveApproval(msgspec.Struct, frozen=True, kw_only=True):
    """Approval of live trading: its record, its author and its end."""

    reference: str
    approved_by: str
    expires: str

    @property
    def expires_ns(self) -> int:
        """End of the approval, UTC nanoseconds."""
        return int((datetime.fromisoformat(self.expires) - _EPOCH).total_seconds()) * NS_PER_S


class LiveApprovalRule(msgspec.Struct, frozen=True):
    """An object with the three fields of :class:`LiveApproval`."""

    doc: str

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return (
            "an object of exactly the strings reference, approvedBy (1 to 200 plain characters each) "
            'and expires (like "2027-01-31T00:00:00Z")'
        )

    def read(self, value: object) -> LiveApproval:
        """Convert a document value to a Python value; raises RuleError."""
        if not isinstance(value, dict) or set(value) != {"reference", "approvedBy", "expires"}:
            raise RuleError(value, self.allowed)
        for key, pattern in (
            ("reference", PLAIN_PATTERN),
            ("approvedBy", PLAIN_PATTERN),
            ("expires", INSTANT_PATTERN),
        ):
            if not isinstance(value[key], str) or not re.fullmatch(pattern, value[key]):
                raise RuleError(value[key], self.allowed)
        try:
            datetime.fromisoformat(value["expires"])
        except ValueError as error:
            raise RuleError(value["expires"], self.allowed) from error
        return LiveApproval(reference=value["reference"], approved_by=value["approvedBy"], expires=value["expires"])

    def write(self, value: object) -> object:
        """Convert a Python value to a document value."""
        assert isinstance(value, LiveApproval)
        return {"reference": value.reference, "approvedBy": value.approved_by, "expires": value.expires}


Rule = DecimalRule | IntegerRule | BooleanRule | WordRule | ModesRule | SymbolsRule | LiveApprovalRule

_MONEY = "1000000000"


class PolicyRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force, typed. Source of names and values: domain.md section 8."""

    modes: Annotated[tuple[Mode, ...], ModesRule("modes in which the policy may be used")]
    live_approval: Annotated[LiveApproval | None, LiveApprovalRule("live trading needs it")] = None
    max_account_leverage: Annotated[Decimal, DecimalRule("0.1", "50", "gross notional / equity")]
    max_margin_leverage: Annotated[Decimal, DecimalRule("1", "125", "the venue's margin setting")]
    max_position_notional: Annotated[Decimal, DecimalRule("1", _MONEY, "one symbol's position, USDT")]
    max_total_notional: Annotated[Decimal, DecimalRule("1", _MONEY, "all positions, gross, USDT")]
    max_order_notional: Annotated[Decimal, DecimalRule("1", _MONEY, "one order, USDT")]
    max_entry_orders_per_symbol: Annotated[int, IntegerRule(1, 100, "entry orders open at once")]
    max_loss_per_trade: Annotated[Decimal, DecimalRule("0.0001", "0.1", "loss at stop / allocated equity")]
    max_daily_loss: Annotated[Decimal, DecimalRule("0.01", _MONEY, "USDT a day")]
    max_daily_loss_fraction: Annotated[Decimal, DecimalRule("0.0001", "0.5", "of the day-start equity")]
    drawdown_caution: Annotated[Decimal, DecimalRule("0.001", "0.9", "peak to now: CAUTIOUS")]
    drawdown_defensive: Annotated[Decimal, DecimalRule("0.001", "0.9", "peak to now: DEFENSIVE")]
    drawdown_emergency: Annotated[Decimal, DecimalRule("0.001", "0.9", "peak to now: EMERGENCY")]
    equity_floor: Annotated[Decimal, DecimalRule("0", _MONEY, "EMERGENCY below it, USDT")]
    equity_floor_fraction: Annotated[Decimal, DecimalRule("0", "1", "of net deposits: EMERGENCY below it")]
    max_correlation: Annotated[Decimal, DecimalRule("0", "1", "of a trade with open exposure, signed")]
    correlation_penalty: Annotated[Decimal, DecimalRule("0", "1", "factor on the size above maxCorrelation")]
    correlation_unknown: Annotated[Decimal, DecimalRule("0", "1", "correlation assumed with too little history")]
    max_phase_correlation: Annotated[Decimal, DecimalRule("0", "1", "of two phases' exposure vectors")]
    min_confidence: Annotated[Decimal, DecimalRule("0", "1", "least setup score")]
    score_lift: Annotated[Decimal, DecimalRule("0", "0.5", "probability that a perfect score adds")]
    min_edge_to_cost: Annotated[Decimal, DecimalRule("0", "100", "least expected edge / cost")]
    stop_volatility_multiple: Annotated[Decimal, DecimalRule("0", "20", "least stop distance / volatility")]
    max_slippage: Annotated[Decimal, DecimalRule("0.0001", "0.1", "price band of a marketable order")]
    max_price_age_ms: Annotated[int, IntegerRule(1, 60_000, "oldest price that opens")]
    max_signal_age_ms: Annotated[int, IntegerRule(1, 60_000, "greatest sum of hop durations")]
    latency_reduce_ms: Annotated[int, IntegerRule(1, 60_000, "p95 above it: sizes x0.75")]
    latency_reject_ms: Annotated[int, IntegerRule(1, 60_000, "p95 above it: refused")]
    min_truth_score: Annotated[int, IntegerRule(0, 100, "least truth score that opens")]
    defensive_truth_score: Annotated[int, IntegerRule(0, 100, "DEFENSIVE below it")]
    min_execution_quality: Annotated[Decimal, DecimalRule("0", "1", "least execution quality that opens")]
    venue_errors_defensive: Annotated[Decimal, DecimalRule("0.001", "1", "error rate: DEFENSIVE")]
    venue_errors_emergency: Annotated[Decimal, DecimalRule("0.001", "1", "error rate: onVenueFailure")]
    on_venue_failure: Annotated[VenueFailure, WordRule(get_args(VenueFailure), "what follows venueErrorsEmergency")]
    loss_streak_count: Annotated[int, IntegerRule(1, 100, "losses in a row in an hour that pause a phase")]
    loss_streak_pause_minutes: Annotated[int, IntegerRule(1, 10_080, "length of that pause")]
    tail_mode: Annotated[TailMode, WordRule(get_args(TailMode), "how far tail limits decide")]
    two_person_arm: Annotated[bool, BooleanRule("arming needs a second person")]
    symbols: Annotated[tuple[str, ...], SymbolsRule("what may be traded")]


class Entry(msgspec.Struct, frozen=True):
    """One row of the table: the document's key, the Python field, the rule, and whether the key may be absent."""

    key: str
    field: str
    rule: Rule
    optional: bool


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _table() -> dict[str, Entry]:
    hints = get_type_hints(PolicyRules, include_extras=True)
    required = set(PolicyRules.__struct_fields__) - {"live_approval"}
    return {
        _camel(field): Entry(_camel(field), field, hints[field].__metadata__[0], field not in required)
        for field in PolicyRules.__struct_fields__
    }


RULES: dict[str, Entry] = _table()
