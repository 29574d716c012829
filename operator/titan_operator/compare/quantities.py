"""Pure: compare Kubernetes amounts by value. Source: k8s.io/apimachinery, ``resource.Quantity``."""

from __future__ import annotations

import re
from decimal import Decimal

_SHAPE = re.compile(r"^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def read_quantity(text: object) -> Decimal | None:
    """Read ``100m``, ``1.5Gi`` or ``2`` as a number of cores or bytes; None where the text is no amount."""
    match = _SHAPE.match(str(text))
    if match is None:
        return None
    number, suffix, exponent = Decimal(match[1]), match[2] or "", match[3]
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    return number.scaleb(int(exponent) if exponent else _DECIMAL.get(suffix, 0))


def same_quantity(one: object, other: object) -> bool:
    """Return whether both are amounts of the same value."""
    amount = read_quantity(one)
    return amount is not None and amount == read_quantity(other)
