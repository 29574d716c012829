"""Fields of messages: decimals as canonical strings, enumerations by the number that both sides share.

Every error is one sentence with the field, its value and the allowed ones.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any, TypeVar

from titan.domain.numbers import ZERO, format_decimal, parse_decimal

_END = Decimal(10) ** 18

EnumType = TypeVar("EnumType", bound=IntEnum)


def enum_number(member: int) -> Any:
    """Return an enumeration's number for a message; typed Any, because the stubs give each field a type of its own."""
    return member


def read_enum(kind: type[EnumType], number: int, field: str) -> EnumType:
    """Read an enumeration from its number.

    Raises
    ------
    ValueError
        For a number without a name.
    """
    try:
        return kind(number)
    except ValueError:
        allowed = ", ".join(member.name for member in kind)
        raise ValueError(f"{field}: {number} is not known; allowed are {allowed}") from None


def optional_decimal(value: Decimal) -> str:
    """Write a decimal whose 0 means "none" and is left out."""
    return format_decimal(value) if value else ""


def read_decimal(text: str, field: str) -> Decimal:
    """Read a decimal; empty is 0.

    Raises
    ------
    ValueError
        For a decimal that is not canonical.
    """
    return parse_decimal(text, field) if text else ZERO


def read_amount(text: str, field: str) -> Decimal:
    """Read a decimal of 0 (also when empty) or more.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or is below 0.
    """
    value = read_decimal(text, field)
    if value < ZERO:
        raise ValueError(f"{field}: {text} is below 0")
    return value


def market_number(text: str) -> Decimal:
    """Read a price or quantity of a market event, of 0 (also when empty) or more and below 10^18.

    It is for hot paths: the sender writes canonical decimals, so only the value is checked.

    Raises
    ------
    ValueError
        For what is no number, not finite or out of range.
    """
    try:
        value = Decimal(text or ZERO)
        # Comparing raises for NaN.
        if ZERO <= value < _END:
            return value
    except ArithmeticError:
        pass  # refused below
    raise ValueError(f"price or quantity: {text!r} is not allowed; allowed are decimals from 0 on and below 10^18")


def read_positive(text: str, field: str) -> Decimal:
    """Read a decimal above 0, which must be there.

    Raises
    ------
    ValueError
        For a decimal that is empty, not canonical, or not above 0.
    """
    value = parse_decimal(text, field)
    if value <= ZERO:
        raise ValueError(f"{field}: {text!r} is not allowed; allowed are decimals above 0")
    return value
