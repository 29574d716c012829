"""Each phase's shares of positions, which Brain updates fill by fill between two accounts of Execution."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from titan.domain.enums import Side
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill
from titan.domain.positions import Holding, PhaseShare, Position, RoundTrip, TripProgress, trade


class _Share(msgspec.Struct):
    holding: Holding
    progress: TripProgress


class Shares:
    """Shares by (phase, symbol); a flat one is absent."""

    def __init__(self) -> None:
        self._shares: dict[tuple[str, str], _Share] = {}

    def rebuild(self, positions: Iterable[Position]) -> None:
        """Rebuild the shares from Execution's positions.

        Positions do not hold the profit and the fees of the open trip. It therefore counts the fees of its exit only,
        until the next account brings the exact trip.
        """
        self._shares = {}
        for position in positions:
            for share in position.shares:
                if share.quantity == ZERO:
                    continue
                quantity = abs(share.quantity)
                side = Side.BUY if share.quantity > ZERO else Side.SELL
                progress = TripProgress(
                    intent_id=share.intent_id,
                    setup="",
                    side=side,
                    opened_ns=position.opened_ns,
                    entered_quantity=quantity,
                    entered_notional=quantity * share.average_entry_price,
                )
                holding = Holding(share.quantity, share.average_entry_price, position.opened_ns)
                self._shares[share.phase_id, position.symbol] = _Share(holding, progress)

    def on_fill(self, fill: Fill, setup: str, stop_price: Decimal = ZERO) -> RoundTrip | None:
        """Apply a fill; return the finished trip where it made the share flat or reversed it.

        Parameters
        ----------
        stop_price
            Quote units, of the entry that the fill belongs to; 0 for none.
        """
        key = (fill.phase_id, fill.symbol)
        share = self._shares.get(key)
        signed, quantity = fill.position_change, fill.moved_quantity
        if quantity == ZERO:
            return None
        fee = fill.fee_in_quote or ZERO
        before = share.holding if share is not None else Holding()
        after, _ = trade(before, signed, fill.price, fill.event_time_ns)
        if share is None:
            self._shares[key] = _Share(after, _begin(fill, setup, quantity, fee, stop_price))
            return None
        turned = after.quantity != ZERO and (after.quantity > ZERO) != (before.quantity > ZERO)
        # A reversal finishes one trip and begins another: the fill is split between them.
        closing = abs(before.quantity) if turned else quantity
        part = closing / quantity
        share.holding = after
        share.progress = share.progress.with_trade(fill.side, closing, fill.price, fee * part, stop_price)
        if after.quantity != ZERO and not turned:
            return None
        finished = share.progress.finished(fill.phase_id, fill.symbol, fill.event_time_ns)
        if turned:
            self._shares[key] = _Share(after, _begin(fill, setup, abs(after.quantity), fee * (1 - part), stop_price))
        else:
            del self._shares[key]
        return finished

    def of(self, phase_id: str) -> list[Position]:
        """List the phase's shares, as positions that hold nothing else."""
        return [
            Position(
                symbol=symbol,
                quantity=share.holding.quantity,
                average_entry_price=share.holding.average_entry_price,
                opened_ns=share.holding.opened_ns,
                shares=(
                    PhaseShare(
                        phase_id=phase_id,
                        quantity=share.holding.quantity,
                        average_entry_price=share.holding.average_entry_price,
                        intent_id=share.progress.intent_id,
                    ),
                ),
            )
            for (owner, symbol), share in self._shares.items()
            if owner == phase_id
        ]


def _begin(fill: Fill, setup: str, quantity: Decimal, fee: Decimal, stop_price: Decimal) -> TripProgress:
    """Begin a trip with this fill."""
    progress = TripProgress(intent_id=fill.intent_id, setup=setup, side=fill.side, opened_ns=fill.event_time_ns)
    return progress.with_trade(fill.side, quantity, fill.price, fee, stop_price)
