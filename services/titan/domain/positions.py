"""Positions: the account's net position in a symbol, each phase's share of it, and finished round trips.

A *net position* is the venue's. A *share* is a phase's part of it: the net is the sum of its shares, and all of them
have its sign. A *lot* (:mod:`titan.domain.lots`) is the rest of one entry. A *round trip* is a share's way from flat to
flat.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal
from typing import Protocol

import msgspec

from titan.domain.enums import OrderRole, Side
from titan.domain.instruments import Instrument
from titan.domain.journal_records import Adoption
from titan.domain.lots import Lot, enter_lot, leave_lots
from titan.domain.numbers import ZERO
from titan.domain.orders import PRECISION, Fill

Share = tuple[str, str]  # phase id, symbol
# Positions that reconciliation found at the venue and no phase of ours opened.
NOBODY = ""
# An exit may reduce any lot of its share; these roles reduce the lot of their own entry first.
_OWN_LOT_FIRST = (OrderRole.STOP, OrderRole.TARGET, OrderRole.FLATTEN)


class PhaseShare(msgspec.Struct, frozen=True, kw_only=True):
    """A phase's part of a net position: signed base units."""

    phase_id: str
    quantity: Decimal
    average_entry_price: Decimal
    intent_id: str
    opened_ns: int = 0


class EntryTerms(Protocol):
    """What was decided with an entry: prices in quote units, 0 where there is none."""

    @property
    def stop_price(self) -> Decimal:
        """The stop of its lot."""

    @property
    def target_price(self) -> Decimal:
        """The target of its lot."""

    @property
    def setup(self) -> str:
        """The setup that its round trip counts for."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A net position: ``quantity`` in signed base units; prices and profit in quote units (0: none).

    It may hold several lots, each with its own stop and target. ``stop_price`` and ``target_price`` are the farthest
    from the market of those that work at the venue; ``stop_quantity`` is what all working stops cover.
    """

    symbol: str
    quantity: Decimal
    average_entry_price: Decimal
    realized_pnl: Decimal = ZERO
    mark_price: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    stop_price: Decimal = ZERO
    stop_quantity: Decimal = ZERO
    target_price: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0
    shares: tuple[PhaseShare, ...] = ()
    lots: tuple[Lot, ...] = ()


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """One finished trade of a phase, from flat to flat of its share.

    ``realized_pnl`` gross of ``fees``, quote units; ``risk`` the loss that was planned at the stops, before fees (0:
    unknown).
    """

    intent_id: str
    phase_id: str
    setup: str
    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realized_pnl: Decimal
    fees: Decimal
    opened_ns: int
    closed_ns: int
    risk: Decimal = ZERO


class Holding(msgspec.Struct, frozen=True):
    """A signed quantity (base units) at an average entry price (quote units)."""

    quantity: Decimal = ZERO
    average_entry_price: Decimal = ZERO
    opened_ns: int = 0

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        """Profit in quote units if closed at ``mark_price``, before fees."""
        return (self.quantity * (mark_price - self.average_entry_price)).quantize(PRECISION)


def trade(holding: Holding, signed_quantity: Decimal, price: Decimal, time_ns: int) -> tuple[Holding, Decimal]:
    """Book one execution onto a holding.

    Parameters
    ----------
    holding
        Before the trade.
    signed_quantity
        Base units, positive for a buy.
    price
        Quote units.
    time_ns
        Market time; the new opening time when the holding opens or reverses.

    Returns
    -------
    tuple
        The holding after, and the profit realized in quote units (0 while it only grows).
    """
    before, after = holding.quantity, holding.quantity + signed_quantity
    if before == ZERO:
        return Holding(after, price, time_ns), ZERO
    if (before > ZERO) == (signed_quantity > ZERO):
        average = (holding.average_entry_price * before + price * signed_quantity) / after
        return Holding(after, average.quantize(PRECISION), holding.opened_ns), ZERO
    closed = before if abs(signed_quantity) >= abs(before) else -signed_quantity
    realized = (closed * (price - holding.average_entry_price)).quantize(PRECISION)
    if after == ZERO:
        return Holding(), realized
    if (after > ZERO) == (before > ZERO):
        return Holding(after, holding.average_entry_price, holding.opened_ns), realized
    # Reversal: the rest opens a position of the other side at this price.
    return Holding(after, price, time_ns), realized


class TripProgress(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished round trip: purchases and sales of a share since it was flat."""

    intent_id: str
    setup: str
    side: Side
    opened_ns: int
    entered_quantity: Decimal = ZERO
    entered_notional: Decimal = ZERO
    left_quantity: Decimal = ZERO
    left_notional: Decimal = ZERO
    fees: Decimal = ZERO
    risk: Decimal = ZERO

    def with_trade(
        self, side: Side, quantity: Decimal, price: Decimal, fee: Decimal, stop_price: Decimal = ZERO
    ) -> TripProgress:
        """Book one execution (base units, quote units, fee in quote units); ``stop_price`` of an entry, 0: none."""
        if side is self.side:
            planned = (price - stop_price) * side.sign * quantity if stop_price else ZERO
            return msgspec.structs.replace(
                self,
                risk=self.risk + max(ZERO, planned),
                entered_quantity=self.entered_quantity + quantity,
                entered_notional=self.entered_notional + quantity * price,
                fees=self.fees + fee,
            )
        return msgspec.structs.replace(
            self,
            left_quantity=self.left_quantity + quantity,
            left_notional=self.left_notional + quantity * price,
            fees=self.fees + fee,
        )

    def finished(self, phase_id: str, symbol: str, closed_ns: int) -> RoundTrip:
        """The round trip, now that as much was left as was entered."""
        gain = (self.left_notional - self.entered_notional) * self.side.sign
        return RoundTrip(
            intent_id=self.intent_id,
            phase_id=phase_id,
            setup=self.setup,
            symbol=symbol,
            side=self.side,
            quantity=self.entered_quantity,
            entry_price=(self.entered_notional / self.entered_quantity).quantize(PRECISION),
            exit_price=(self.left_notional / self.left_quantity).quantize(PRECISION),
            realized_pnl=gain.quantize(PRECISION),
            fees=self.fees.quantize(PRECISION),
            opened_ns=self.opened_ns,
            closed_ns=closed_ns,
            risk=self.risk.quantize(PRECISION),
        )


class HeldPositions:
    """Positions as fills and adoptions make them: net holdings, phases' shares, lots and round trips.

    Read its attributes; change it by :meth:`book_fill` and :meth:`adopt` only.
    """

    def __init__(self) -> None:
        self.holdings: dict[str, Holding] = {}
        self.shares: dict[Share, Holding] = {}
        self.lots: dict[Share, tuple[Lot, ...]] = {}
        self.trips: dict[Share, TripProgress] = {}
        self.realized: dict[str, Decimal] = {}
        # Base units of each share that are held and below its instrument's step: fees in base leave them.
        self.dust: dict[Share, Decimal] = {}
        self.round_trips: list[RoundTrip] = []

    def restore(self, positions: Iterable[Position], trips: Iterable[tuple[Share, TripProgress]]) -> None:
        """Replace everything that is open by a report of it; finished round trips stay."""
        for mapping in (self.holdings, self.shares, self.lots, self.trips, self.realized):
            mapping.clear()
        for position in positions:
            symbol = position.symbol
            if position.quantity != ZERO:
                self.holdings[symbol] = Holding(position.quantity, position.average_entry_price, position.opened_ns)
            self.realized[symbol] = position.realized_pnl
            for share in position.shares:
                self.shares[share.phase_id, symbol] = Holding(
                    share.quantity, share.average_entry_price, share.opened_ns
                )
            for lot in position.lots:
                key = (lot.phase_id, symbol)
                self.lots[key] = (*self.lots.get(key, ()), lot)
        self.trips.update(trips)

    def book_fill(self, fill: Fill, fee: Decimal, terms: EntryTerms | None) -> tuple[Decimal, RoundTrip | None]:
        """Book a fill into the net position and into its phase's share.

        Parameters
        ----------
        fee
            In quote units.
        terms
            What was decided with the fill's entry, where it is known.

        Returns
        -------
        tuple
            The fill's realized profit before fees, quote units, and the round trip that it finished.
        """
        signed = fill.position_change
        if signed == ZERO:
            return ZERO, None
        holding, realized = trade(self.holdings.get(fill.symbol, Holding()), signed, fill.price, fill.event_time_ns)
        self.holdings[fill.symbol] = holding
        self.realized[fill.symbol] = self.realized.get(fill.symbol, ZERO) + realized
        return realized, self._book_share(fill, signed, fee, terms)

    def without_base_fee(self, fill: Fill, instrument: Instrument) -> Fill:
        """Return a spot fill with the quantity that is held or gone after its fee in base, on the instrument's step.

        What is left below a step is kept for the next fill of the share. It cannot be sold, and is no part of it.
        """
        if instrument.kind != "spot" or fill.fee == ZERO or fill.fee_currency != instrument.base:
            return fill
        key = (fill.phase_id, fill.symbol)
        held = self.shares.get(key, Holding()).quantity
        exact = fill.quantity * fill.side.sign - fill.fee + self.dust.get(key, ZERO)
        step = instrument.quantity_step
        change = (exact / step).to_integral_value(rounding=ROUND_FLOOR) * step
        if fill.side is Side.SELL:
            # More than what is held cannot have gone.
            change = max(change, min(-held, -fill.quantity))
        self.dust[key] = max(exact - change, ZERO)
        return msgspec.structs.replace(fill, position_quantity=abs(change))

    def adopt(self, adoption: Adoption, market_time_ns: int) -> None:
        """Take over the venue's position in a symbol as reconciliation found it; the shares add up to it then."""
        symbol = adoption.symbol
        self.holdings[symbol] = Holding(adoption.quantity, adoption.average_entry_price, market_time_ns)
        # A reduction is taken from the phases' shares; an excess belongs to no phase.
        self._settle_shares(symbol, market_time_ns)
        over = adoption.quantity - sum(self.shares_of(symbol).values(), ZERO)
        if over != ZERO:
            key = (NOBODY, symbol)
            before = self.shares.get(key, Holding())
            self.shares[key], _ = trade(before, over, adoption.average_entry_price, market_time_ns)
            lot = Lot(
                intent_id=f"adopted:{symbol}",
                phase_id=NOBODY,
                symbol=symbol,
                quantity=over,
                opened_ns=market_time_ns,
                updated_ns=market_time_ns,
            )
            self.lots[key] = enter_lot(self.lots.get(key, ()), lot)

    def shares_of(self, symbol: str) -> dict[str, Decimal]:
        """Return the open shares of a symbol, signed base units by phase."""
        return {
            phase_id: share.quantity
            for (phase_id, held), share in self.shares.items()
            if held == symbol and share.quantity != ZERO
        }

    def shares_agree(self, symbol: str) -> bool:
        """Whether the net is the sum of the shares, and none of them opposes it."""
        net = self.holdings.get(symbol, Holding()).quantity
        shares = self.shares_of(symbol).values()
        return sum(shares, ZERO) == net and all((share > ZERO) == (net > ZERO) for share in shares)

    def open_symbols(self) -> list[str]:
        """List the symbols with a net position or an open share."""
        shared = (symbol for (_, symbol), share in self.shares.items() if share.quantity != ZERO)
        held = (symbol for symbol, holding in self.holdings.items() if holding.quantity != ZERO)
        return list(dict.fromkeys((*held, *shared)))

    def _settle_shares(self, symbol: str, market_time_ns: int) -> None:
        """Take back every share that the net position does not hold: opposing ones first, then an excess."""
        net = self.holdings[symbol].quantity
        for phase_id, quantity in self.shares_of(symbol).items():
            if net == ZERO or (quantity > ZERO) != (net > ZERO):
                self._resize((phase_id, symbol), -quantity, market_time_ns)
        for phase_id, quantity in sorted(self.shares_of(symbol).items()):
            excess = sum(self.shares_of(symbol).values(), ZERO) - net
            if excess == ZERO or (excess > ZERO) != (net > ZERO):
                return
            taken = min(abs(excess), abs(quantity))
            self._resize((phase_id, symbol), -taken if net > ZERO else taken, market_time_ns)

    def _book_share(self, fill: Fill, signed: Decimal, fee: Decimal, terms: EntryTerms | None) -> RoundTrip | None:
        key = (fill.phase_id, fill.symbol)
        before = self.shares.get(key, Holding())
        after, _ = trade(before, signed, fill.price, fill.event_time_ns)
        self.shares[key] = after
        first = fill.intent_id if fill.order_role in _OWN_LOT_FIRST else ""
        lots, rest = leave_lots(self.lots.get(key, ()), signed, first, fill.event_time_ns)
        if rest != ZERO:
            entry = terms is not None and fill.order_role is OrderRole.ENTRY
            lots = enter_lot(
                lots,
                Lot(
                    intent_id=fill.intent_id,
                    phase_id=fill.phase_id,
                    symbol=fill.symbol,
                    quantity=rest,
                    stop_price=terms.stop_price if terms is not None and entry else ZERO,
                    target_price=terms.target_price if terms is not None and entry else ZERO,
                    opened_ns=fill.event_time_ns,
                    updated_ns=fill.event_time_ns,
                ),
            )
        self.lots[key] = lots
        return self._progress(key, fill, before.quantity, fee, terms)

    def _progress(
        self, key: Share, fill: Fill, before: Decimal, fee: Decimal, terms: EntryTerms | None
    ) -> RoundTrip | None:
        """Book a fill onto the share's round trip; a reversal finishes one and begins the next."""
        side = Side.BUY if before > ZERO else Side.SELL
        quantity = fill.moved_quantity
        closing = min(quantity, abs(before)) if before != ZERO and fill.side is not side else ZERO
        opening = quantity - closing
        closing_fee = (fee * closing / quantity).quantize(PRECISION)
        finished: RoundTrip | None = None
        progress = self.trips.get(key)
        if closing > ZERO and progress is not None:
            progress = progress.with_trade(fill.side, closing, fill.price, closing_fee)
            if closing == abs(before):
                finished = progress.finished(key[0], key[1], fill.event_time_ns)
                self.round_trips.append(finished)
                progress = None
        if opening > ZERO:
            # Only an entry begins a trip by decision; anything else that does has broken the shares.
            entry = terms if fill.order_role is OrderRole.ENTRY else None
            if progress is None:
                progress = TripProgress(
                    intent_id=fill.intent_id,
                    setup=entry.setup if entry is not None else "",
                    side=fill.side,
                    opened_ns=fill.event_time_ns,
                )
            stop_price = entry.stop_price if entry is not None else ZERO
            progress = progress.with_trade(fill.side, opening, fill.price, fee - closing_fee, stop_price)
        if progress is None:
            self.trips.pop(key, None)
        else:
            self.trips[key] = progress
        return finished

    def _resize(self, key: Share, taken: Decimal, market_time_ns: int) -> None:
        share = self.shares[key]
        left = share.quantity + taken
        self.shares[key] = Holding(left, share.average_entry_price, share.opened_ns) if left != ZERO else Holding()
        self.lots[key], _ = leave_lots(self.lots.get(key, ()), taken, "", market_time_ns)
        # Entry and exit no longer match the trades: a round trip cannot be computed, and is not invented.
        if left == ZERO:
            self.trips.pop(key, None)
