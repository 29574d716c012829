"""The account of a simulated venue: cash, net positions of perpetuals, spot inventory, margin.

One settlement currency. Perpetuals net; profit and fees go to cash when they are realized. Spot moves the base asset
against cash, and its fee is taken in the quote currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from titan.domain.enums import Side
from titan.domain.instruments import Instrument
from titan.domain.numbers import ZERO
from titan.matching.state import PRICE_PLACES, PositionState, VenueState, WorkingOrder

_FLAT = PositionState(ZERO, ZERO)


class SimulatedAccount:
    """A view on a state that books trades and measures margin.

    Parameters
    ----------
    state
        Holds balances and positions; changed in place.
    currency
        The settlement currency.
    leverage
        The account's margin leverage; an instrument's own maximum may be lower.
    working
        Orders that are not final, by symbol.
    mark_price
        Answers the mark price of a symbol in quote units, or None where there is none.
    """

    def __init__(
        self,
        state: VenueState,
        instruments: dict[str, Instrument],
        currency: str,
        leverage: Decimal,
        working: Mapping[str, Sequence[WorkingOrder]],
        mark_price: Callable[[str], Decimal | None],
    ) -> None:
        self._state = state
        self._instruments = instruments
        self.currency = currency
        self._leverage = leverage
        self._working = working
        self._mark_price = mark_price

    @property
    def cash(self) -> Decimal:
        """Settlement currency, realized."""
        return self._state.balances.get(self.currency, ZERO)

    def holding(self, instrument: Instrument) -> Decimal:
        """Signed base units: a perpetual's net position, or the balance of a spot pair's base asset."""
        if instrument.kind == "spot":
            return self._state.balances.get(instrument.base, ZERO)
        return self._state.positions.get(instrument.symbol, _FLAT).quantity

    def reducible(self, instrument: Instrument, side: Side) -> Decimal:
        """Base units that an order of ``side`` can take off the holding."""
        return max(ZERO, -side.sign * self.holding(instrument))

    def book_trade(self, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        """Move balances and position by one trade; ``fee`` in the settlement currency, positive when paid."""
        balances = self._state.balances
        if instrument.kind == "spot":
            balances[instrument.base] = self.holding(instrument) + side.sign * quantity
            balances[self.currency] = self.cash - side.sign * quantity * price - fee
            return
        position = self._state.positions.get(instrument.symbol, _FLAT)
        signed = side.sign * quantity
        closing = min(quantity, abs(position.quantity)) if position.quantity * signed < 0 else ZERO
        realized = ZERO
        if closing:
            # All of the cost goes with the last unit, so rounding never stays behind.
            part = position.cost
            if closing < abs(position.quantity):
                part = (position.cost * closing / abs(position.quantity)).quantize(PRICE_PLACES)
            realized = -side.sign * closing * price - part
            position = PositionState(position.quantity + side.sign * closing, position.cost - part)
        opening = side.sign * (quantity - closing)
        self._state.positions[instrument.symbol] = PositionState(
            position.quantity + opening, position.cost + opening * price
        )
        balances[self.currency] = self.cash + realized - fee

    def available(self) -> Decimal:
        """Settlement currency free for new margin: cash plus unrealized profit, less the margin in use."""
        free = self.cash
        for symbol, instrument in self._instruments.items():
            position = self._state.positions.get(symbol, _FLAT)
            orders = self._working.get(symbol, ())
            if not position.quantity and not orders:
                continue
            mark = self._mark_price(symbol)
            if mark is None:
                # No price since the start: the position is valued at its cost.
                mark = position.average_entry_price
            free += position.quantity * mark - position.cost - self._in_use(instrument, mark, orders)
        return free

    def shortfall(
        self,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        others: Sequence[WorkingOrder],
    ) -> tuple[Decimal, Decimal] | None:
        """Return the required and the available amount of an order, when the available one is too small.

        Parameters
        ----------
        quantity
            Base units that it adds to the working orders of its symbol.
        price
            Quote units at which its margin is measured.
        others
            The working orders of its symbol without itself.

        Returns
        -------
        tuple[Decimal, Decimal] or None
            Required and available: of the settlement currency, or of the base asset for a spot sale. What only reduces
            requires nothing.
        """
        if instrument.kind == "spot" and side is Side.SELL:
            free = self.holding(instrument) - _resting(others, Side.SELL)
            return (quantity, free) if quantity > free else None
        bought, sold = (quantity, ZERO) if side is Side.BUY else (ZERO, quantity)
        required = self._in_use(instrument, price, others, bought, sold) - self._in_use(instrument, price, others)
        if required <= ZERO:
            return None
        available = self.available()
        if instrument.kind == "spot":
            available = min(available, self.cash)
        else:
            required += instrument.fee(quantity * price, maker=False)
        return (required, available) if required > available else None

    def _in_use(
        self,
        instrument: Instrument,
        price: Decimal,
        orders: Sequence[WorkingOrder],
        bought: Decimal = ZERO,
        sold: Decimal = ZERO,
    ) -> Decimal:
        """Settlement currency held for a symbol at ``price``, if so much more were bought or sold."""
        if instrument.kind == "spot":
            cost = bought * price
            for order in orders:
                if _reserves(order, Side.BUY):
                    cost += order.remaining_quantity * order.limit_price
            return cost + instrument.fee(cost, maker=False)
        held = self.holding(instrument)
        longest = held + bought + _resting(orders, Side.BUY)
        shortest = held - sold - _resting(orders, Side.SELL)
        leverage = min(self._leverage, instrument.max_margin_leverage)
        return max(abs(longest), abs(shortest)) * price / leverage


def _reserves(order: WorkingOrder, side: Side) -> bool:
    return order.side is side and bool(order.limit_price) and not order.reduce_only


def _resting(orders: Sequence[WorkingOrder], side: Side) -> Decimal:
    """Base units of limit orders of ``side`` that may add to the holding."""
    return sum((order.remaining_quantity for order in orders if _reserves(order, side)), ZERO)
