"""Parameters of the simulated market, each with the recorded fact that it is calibrated to.

Facts, measured on BTC (``docs/market-simulation.md`` has the table): one-minute log returns of the perpetual over a
month (45,031 bars): standard deviation 9.9 bps, median of their size 4.2, tail index 2.8 (Hill at the largest 2.7 %),
autocorrelation of their size .33 at 1 minute, .24 at 10, .18 at 60, .09 at 480, of themselves .02. Six recorded minutes
of book and trades: one-second returns 1.3–1.4 bps, autocorrelation -.09 (perpetual), basis -3.69 bps with a standard
deviation of .63 and an autocorrelation of .38 at 1 s and .14 at 5 s; a spread of one tick in 94 % (perpetual) and 88 %
(spot) of tickers; depth within 1 and 10 bps of mid .43 and 7.9 million (perpetual), .25 and 2.5 million (spot).
"""

from __future__ import annotations

import msgspec


class Wave(msgspec.Struct, frozen=True):
    """One component of log volatility (or of the basis): it forgets half of itself in ``half_life_s`` seconds."""

    half_life_s: float
    deviation: float


class PriceParameters(msgspec.Struct, frozen=True):
    """The path that perpetual and spot share, and the basis between them.

    ``volatility_bps`` is the median volatility in basis points by square root of a second; ``jumps_per_hour`` with
    sizes from ``jump_bps`` on, Pareto with index ``jump_tail``, up or down alike.
    """

    volatility_bps: float = 0.62
    waves: tuple[Wave, ...] = (Wave(10, 0.4), Wave(240, 0.5), Wave(3_600, 0.36), Wave(43_200, 0.38))
    jumps_per_hour: float = 0.5
    jump_bps: float = 22.0
    jump_tail: float = 2.8
    basis_bps: float = -3.69
    basis_waves: tuple[Wave, ...] = (Wave(0.56, 0.58), Wave(30, 0.23))


class FlowParameters(msgspec.Struct, frozen=True):
    """Quotes, trades and depth of one kind of instrument.

    Rates are events by second at median volatility, about a quarter of the recorded ones: it is what a laptop that
    shows a demo should spend. Sizes are notionals in quote units; ``*_spread`` is the deviation of a logarithm.
    ``depth_1bp`` is the notional between best price and 1 bp away, and depth grows with distance to the power
    ``depth_power``.
    """

    quotes_per_s: float
    trade_bursts_per_s: float
    trades_per_burst: float
    book_interval_ms: float
    one_tick_share: float
    trade_median: float
    trade_spread: float
    top_median: float
    depth_1bp: float
    depth_power: float
    top_spread: float = 0.8
    # Share of quotes at which the price moves; the others only change sizes.
    moves: float = 0.3
    # Levels a side, one a slot of this width.
    slots: int = 64
    slot_bps: float = 0.16
    # Share of levels that a difference changes although the price stands.
    refresh: float = 0.1


PERP_FLOW = FlowParameters(
    quotes_per_s=48,
    trade_bursts_per_s=4,
    trades_per_burst=4,
    book_interval_ms=100,
    one_tick_share=0.94,
    trade_median=990,
    trade_spread=1.98,
    top_median=178_000,
    depth_1bp=250_000,
    depth_power=1.48,
)
SPOT_FLOW = FlowParameters(
    quotes_per_s=20,
    trade_bursts_per_s=2.5,
    trades_per_burst=2.8,
    book_interval_ms=100,
    one_tick_share=0.88,
    trade_median=37,
    trade_spread=2.68,
    top_median=119_000,
    depth_1bp=120_000,
    depth_power=1.3,
)

# First prices of a first run, quote units: near those at the time of the recorded book.
FIRST_PRICES = {"BTC": 61_800.0, "ETH": 2_680.0, "SOL": 162.0}
