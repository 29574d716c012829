"""Numbers and times of recordings: finite and in range, or one sentence with field, value and what is allowed.

The range is the wire's: a canonical decimal has at most 18 digits before and 18 after the point.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from titan.domain.numbers import ZERO
from titan.domain.time import NS_PER_MS, NS_PER_S

# Years 2000 to 2199: seconds, milliseconds or microseconds in place of nanoseconds fall outside, and so do ten times as
# many nanoseconds.
FIRST_NS = 946_684_800 * NS_PER_S
END_NS = 7_258_118_400 * NS_PER_S
FIRST_MS, END_MS = FIRST_NS // NS_PER_MS, END_NS // NS_PER_MS
# Ids are signed 64-bit integers in databases.
LAST_ID = 2**63 - 1
NUMBER_END = Decimal(10) ** 18
_PLACES = 18

Amount = str | int | float

_PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_DIGITS = "at most 18 digits before and after the point, without sign or exponent"
# Prices and quantities recur: most are known from an earlier line.
_KNOWN = 16_384


@lru_cache(_KNOWN)
def quantity(text: Amount) -> Decimal:
    """Read a quantity, or a price that may be 0.

    Raises
    ------
    ValueError
        With value and allowed range; the caller adds the field.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} is not allowed; allowed are decimals in quotes from 0 on, {_DIGITS}")
    return Decimal(text)


@lru_cache(_KNOWN)
def price(text: Amount) -> Decimal:
    """Read a price above 0.

    Raises
    ------
    ValueError
        With value and allowed range; the caller adds the field.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text) or not (value := Decimal(text)):
        raise ValueError(f"{text!r} is not allowed; allowed are decimals in quotes above 0, {_DIGITS}")
    return value


def receive_ns(text: bytes) -> int:
    """Read the time of receipt, in nanoseconds.

    Raises
    ------
    ValueError
        When it is no time of the years 2000 to 2199.
    """
    # isdigit refuses the signs, blanks and underscores that int reads; 20 digits are beyond the range.
    if not text.isdigit() or len(text) > 19 or not FIRST_NS <= (time_ns := int(text)) < END_NS:
        shown = text[:40].decode(errors="replace")
        raise ValueError(
            f"receive_ns: {shown!r} is not allowed; allowed are nanoseconds from {FIRST_NS} to {END_NS - 1}"
        )
    return time_ns


def event_ns(milliseconds: int, field: str) -> int:
    """Convert a venue's time to nanoseconds; 0 is none.

    Raises
    ------
    ValueError
        When it is no time of the years 2000 to 2199.
    """
    if milliseconds and not FIRST_MS <= milliseconds < END_MS:
        raise ValueError(
            f"{field}: {milliseconds} is not allowed; allowed are milliseconds from {FIRST_MS} to {END_MS - 1}"
        )
    return milliseconds * NS_PER_MS


def identifier(number: int, field: str) -> int:
    """Check an id.

    Raises
    ------
    ValueError
        When it is below 0 (as for a field that is not there) or above 2^63 − 1.
    """
    if not 0 <= number <= LAST_ID:
        shown = "none" if number == ABSENT else number
        raise ValueError(f"{field}: {shown} is not allowed; allowed are integers from 0 to {LAST_ID}")
    return number


ABSENT = -1
"""Stands for an id that a message does not have."""


def bar_number(text: str, field: str, *, positive: bool) -> Decimal:
    """Read a price (positive) or a volume of a bar; it may have an exponent, as files written from floats do.

    Raises
    ------
    ValueError
        When it is no finite number in the range.
    """
    try:
        value = Decimal(text)
        # Comparing raises for NaN.
        fits = ZERO <= value < NUMBER_END and not (positive and (not value or _places(text, value) > _PLACES))
    except ArithmeticError:
        fits = False
    if not fits:
        allowed = f"above 0 and below 10^18, with at most {_PLACES} places" if positive else "from 0 on and below 10^18"
        raise ValueError(f"{field}: {text!r} is not allowed; allowed are decimals {allowed}")
    return value


def _places(text: str, value: Decimal) -> int:
    """Count the decimal places, or bound them: a short text without exponent cannot have too many."""
    if len(text) <= _PLACES and "e" not in text and "E" not in text:
        return 0
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
