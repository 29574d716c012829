"""What the account is worth."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO


class Equity(msgspec.Struct, frozen=True, kw_only=True):
    """Worth in USDT. Where ``known`` is false only ``reason`` means anything: unknown is not zero.

    ``equity`` = ``cash`` + spot inventory at mark + ``unrealized_pnl``; ``realized_pnl`` gross of ``fees``;
    ``drawdown`` a fraction, peak to now.
    """

    known: bool
    reason: str = ""
    equity: Decimal = ZERO
    cash: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    high_water_mark: Decimal = ZERO
    drawdown: Decimal = ZERO
    margin_used: Decimal = ZERO
    market_time_ns: int = 0
