"""The price at which an order's size is measured."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Side


def notional_price(side: Side, price: Decimal, bid: Decimal) -> Decimal:
    """Return the highest price at which an order can fill now, in quote units.

    A limit is the lowest price of a sale, and the highest of a purchase. A sale with a limit below the bid takes the
    bid: its notional, margin and fee are those of the bid.

    Parameters
    ----------
    price
        The limit price, or for a market order the far side of the quote.
    bid
        The best bid; 0 where there is none.
    """
    return bid if side is Side.SELL and bid > price else price
