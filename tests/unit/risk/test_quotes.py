"""Brain's own quotes: one-sided, crossed and older ones are no price; the last one ages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.risk.scene import NOW, PERP, risk_state

D = Decimal


@pytest.mark.parametrize(
    ("description", "bid", "ask", "age_ns", "counts"),
    [
        ("newer", 61300, 61301, 0, True),
        ("of the same moment", 61300, 61301, 40_000_000, True),
        ("older", 61300, 61301, 40_000_001, False),
        ("crossed", 61301, 61300, 0, False),
        ("locked", 61300, 61300, 0, True),
        ("without a bid", 0, 61300, 0, False),
        ("without an ask", 61300, 0, 0, False),
    ],
)
def test_what_counts_as_a_quote(description: str, bid: int, ask: int, age_ns: int, counts: bool) -> None:
    symbol = risk_state().symbols[PERP]
    before = (symbol.bid, symbol.ask, symbol.mid, symbol.quote_ns)
    symbol.quote(D(bid), D(ask), NOW - age_ns)
    after = (symbol.bid, symbol.ask, symbol.mid, symbol.quote_ns)
    assert (after != before) is counts, description
    if counts:
        assert after == (D(bid), D(ask), D(bid + ask) / 2, NOW - age_ns)
