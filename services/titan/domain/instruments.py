"""Instruments: ticks, steps, minima, fees and margin."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from titan.domain.numbers import BPS, ZERO, is_multiple
from titan.domain.reasons import Reason


class Instrument(msgspec.Struct, frozen=True):
    """One instrument of one venue.

    Prices in quote units; quantities in base units (a contract is ``contract_size`` base units); ``min_notional`` in
    quote units; fees in basis points of notional; ``maintenance_margin`` a fraction of notional.
    """

    symbol: str
    kind: Literal["spot", "perp"]
    base: str
    quote: str
    settle: str
    tick_size: Decimal
    quantity_step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    contract_size: Decimal
    maker_fee_bps: Decimal
    taker_fee_bps: Decimal
    max_margin_leverage: Decimal
    maintenance_margin: Decimal

    def fee(self, notional: Decimal, maker: bool) -> Decimal:
        """Fee in quote units for a trade of ``notional`` quote units."""
        return notional * (self.maker_fee_bps if maker else self.taker_fee_bps) * BPS

    def refusal(self, quantity: Decimal, price: Decimal | None, reference_price: Decimal) -> tuple[Reason, str] | None:
        """Return the reason for which the venue would refuse an order of this size and price, or None.

        Parameters
        ----------
        quantity
            Base units.
        price
            Limit price, or None for a market order.
        reference_price
            Quote units; what the notional is measured at when there is no limit price.
        """
        if quantity <= ZERO or not is_multiple(quantity, self.quantity_step):
            return (
                Reason.QUANTITY_STEP,
                f"quantity {quantity} is no positive multiple of {self.quantity_step} {self.base}",
            )
        if price is not None and (price <= ZERO or not is_multiple(price, self.tick_size)):
            return Reason.PRICE_TICK, f"price {price} is no positive multiple of {self.tick_size} {self.quote}"
        if quantity < self.min_quantity:
            return Reason.BELOW_MINIMUM, f"quantity {quantity} < {self.min_quantity} {self.base}"
        notional = quantity * (price if price is not None else reference_price)
        if notional < self.min_notional:
            return Reason.BELOW_MINIMUM, f"notional {notional} < {self.min_notional} {self.quote}"
        return None


def _instrument(
    symbol: str, tick: str, step: str, minimum: str, notional: str, maker: str, taker: str, leverage: str
) -> Instrument:
    pair, _, settle = symbol.partition(":")
    base, quote = pair.split("/")
    return Instrument(
        symbol=symbol,
        kind="perp" if settle else "spot",
        base=base,
        quote=quote,
        settle=settle or quote,
        tick_size=Decimal(tick),
        quantity_step=Decimal(step),
        min_quantity=Decimal(minimum),
        min_notional=Decimal(notional),
        contract_size=Decimal(1),
        maker_fee_bps=Decimal(maker),
        taker_fee_bps=Decimal(taker),
        max_margin_leverage=Decimal(leverage),
        maintenance_margin=Decimal("0.005") if settle else ZERO,
    )


# Instruments of the paper venue: the filters of Binance spot and USD-M in 2024, its regular fee tier. The filters of a
# live venue are read from it.
PAPER_INSTRUMENTS: dict[str, Instrument] = {
    instrument.symbol: instrument
    for instrument in (
        _instrument("BTC/USDT:USDT", "0.1", "0.001", "0.001", "100", "2", "5", "125"),
        _instrument("ETH/USDT:USDT", "0.01", "0.001", "0.001", "20", "2", "5", "125"),
        _instrument("SOL/USDT:USDT", "0.001", "1", "1", "5", "2", "5", "75"),
        _instrument("BTC/USDT", "0.01", "0.00001", "0.00001", "5", "10", "10", "1"),
        _instrument("ETH/USDT", "0.01", "0.0001", "0.0001", "5", "10", "10", "1"),
        _instrument("SOL/USDT", "0.01", "0.001", "0.001", "5", "10", "10", "1"),
    )
}
