"""Numbers and times of recordings: finite and in range, or one sentence with field, value and what is allowed.

The range is the wire's: a canonical decimal has at most 18 digits before and 18 after the point.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

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

# Raises for what the wire cannot carry: more than 18 places, or more than 19 digits.
EXACT = Context(prec=19, Emin=0, Emax=18, traps=[InvalidOperation, Inexact, Overflow])
_DIGITS = "and below 10^18, with at most 19 digits, 18 of them behind the point"


def number(value: Decimal, field: str, *, positive: bool = False) -> Decimal:
    """Check one number; a price of a level is above 0.

    Raises
    ------
    ValueError
        When it is not finite or out of range: field, value and what is allowed.
    """
    try:
        # Comparing raises for NaN.
        fits = (value > ZERO if positive else value >= ZERO) and EXACT.plus(value) < NUMBER_END
    except ArithmeticError:
        fits = False
    if not fits:
        least = "above 0" if positive else "from 0 on"
        raise ValueError(f"{field}: '{value}' is not allowed; allowed are decimals {least} {_DIGITS}")
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
    """Read a price (positive) or a volume of a bar.

    Raises
    ------
    ValueError
        When it is no finite number in the range.
    """
    try:
        value = Decimal(text)
        fits = ZERO <= value < NUMBER_END and not (positive and not EXACT.plus(value))
    except ArithmeticError:
        fits = False
    if not fits:
        allowed = f"above 0 {_DIGITS}" if positive else "from 0 on and below 10^18"
        raise ValueError(f"{field}: {text!r} is not allowed; allowed are decimals {allowed}")
    return value
