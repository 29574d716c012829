"""Decimals: one canonical spelling, and exact steps.

Canonical: an optional minus, digits without a leading zero, and a fraction without trailing zeros; no exponent, no
plus sign, and zero is ``0``. It is the only spelling on the wire and in policies.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, ROUND_UP, Decimal

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal("0.0001")

CANONICAL_PATTERN = r"^(0|-?[1-9][0-9]{0,17}|-?(0|[1-9][0-9]{0,17})\.[0-9]{0,17}[1-9])$"
CANONICAL_LONGEST = 38
_CANONICAL = re.compile(CANONICAL_PATTERN)


def parse_decimal(text: str, field: str) -> Decimal:
    """Read a canonical decimal.

    Raises
    ------
    ValueError
        When ``text`` is not canonical; names ``field``, the value and what is allowed.
    """
    if not _CANONICAL.fullmatch(text):
        raise ValueError(
            f"{field}: {text!r} is not a canonical decimal (like 12, -0.5 or 0: no exponent, plus sign or extra zeros)"
        )
    return Decimal(text)


def format_decimal(value: Decimal) -> str:
    """Write ``value`` in canonical form.

    Raises
    ------
    ValueError
        For NaN and infinities, which have none.
    """
    if not value.is_finite():
        raise ValueError(f"{value} has no canonical form")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The greatest multiple of ``step`` that is not farther from zero than ``value``."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of ``step`` that is not nearer to zero than ``value``."""
    return (value / step).to_integral_value(rounding=ROUND_UP) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` is an exact multiple of ``step``."""
    return value % step == 0
