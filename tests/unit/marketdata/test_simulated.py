"""The simulated market: the facts it is calibrated to, its books, and that a seed is a market."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pytest

from support.tiers.sweeps import CHAOS
from titan.domain.market import BookEvent, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.marks import mid_price
from titan.marketdata.simulation.parameters import PriceParameters
from titan.marketdata.simulation.price import PricePath
from titan.marketdata.sources.simulated import FIXED_START_NS, SimulatedSource
from titan.recordings.source import SourceError

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
S = 1_000_000_000
MINUTES = 6_000 if CHAOS else 2_000


def simulated(seed: int = 7, symbols: tuple[str, ...] = (PERP, SPOT), **fields: object) -> SimulatedSource:
    return SimulatedSource(symbols, seed, lambda: FIXED_START_NS, **fields)  # type: ignore[arg-type]


def stretch(source: SimulatedSource, seconds: float) -> list[MarketEvent]:
    end_ns = source.start_ns + int(seconds * S)
    return list(itertools.takewhile(lambda event: event.market_time_ns < end_ns, source.events()))


@pytest.fixture(scope="module")
def minute_returns() -> np.ndarray:
    """Returns of 24,000 simulated minutes, four markets of four days each; of 8,000 without TITAN_CHAOS."""
    returns = []
    for seed in range(4):
        path = PricePath(np.random.default_rng(seed), PriceParameters(), 61_800.0)
        closes = np.array([path.block(60).log_price[-1] for _ in range(MINUTES)])
        returns.append(np.diff(closes))
    return np.array(returns)


def autocorrelation(series: np.ndarray, lag: int) -> float:
    return float(np.mean([np.corrcoef(one[lag:], one[:-lag])[0, 1] for one in series]))


def test_tail_index_of_minute_returns_is_that_of_the_recorded_month(minute_returns: np.ndarray) -> None:
    # Hill's estimator at the share that Clauset-Shalizi-Newman chose on the recorded sample (1,199 of 45,030).
    sizes = np.sort(np.abs(minute_returns).ravel())[::-1]
    count = int(sizes.size * 1_199 / 45_030)
    tail_index = 1 / np.mean(np.log(sizes[:count] / sizes[count]))
    assert 2.3 <= tail_index <= 3.5


def test_volatility_is_of_the_recorded_order_and_clusters(minute_returns: np.ndarray) -> None:
    deviation_bps = float(minute_returns.std()) * 1e4
    assert 7 < deviation_bps < 14
    sizes = np.abs(minute_returns)
    assert autocorrelation(sizes, 1) > 0.2
    assert autocorrelation(sizes, 10) > 0.1
    assert autocorrelation(sizes, 60) > 0.04


def test_returns_have_no_memory_and_no_drift(minute_returns: np.ndarray) -> None:
    assert abs(autocorrelation(minute_returns, 1)) < 0.05
    assert abs(autocorrelation(minute_returns, 2)) < 0.05
    error = minute_returns.std() / np.sqrt(minute_returns.size)
    assert abs(minute_returns.mean()) < 3 * error


def test_a_gaussian_path_would_fail_the_tail_test() -> None:
    """The estimator discriminates: without waves and jumps the same sample has no such tail."""
    path = PricePath(np.random.default_rng(1), PriceParameters(waves=(), jumps_per_hour=0), 61_800.0)
    sizes = np.sort(np.abs(np.diff([path.block(60).log_price[-1] for _ in range(MINUTES)])))[::-1]
    count = int(sizes.size * 1_199 / 45_030)
    assert 1 / np.mean(np.log(sizes[:count] / sizes[count])) > 5


def test_a_seed_is_a_market_whatever_else_is_simulated() -> None:
    one, again, other = (stretch(simulated(seed), 12) for seed in (7, 7, 8))
    assert one == again
    assert one != other
    both = stretch(simulated(7, (PERP, SPOT, "ETH/USDT:USDT")), 12)
    keys = [(event.market_time_ns, type(event), event.symbol) for event in one]
    assert [(e.market_time_ns, type(e), e.symbol) for e in both if e.symbol != "ETH/USDT:USDT"] == keys


def test_events_are_in_order_and_irregular() -> None:
    events = stretch(simulated(), 20)
    times = [event.market_time_ns for event in events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert times == sorted(times)
    gaps = np.diff([event.market_time_ns for event in events if isinstance(event, QuoteEvent) and event.symbol == PERP])
    assert gaps.std() > 0.5 * gaps.mean()


def test_every_symbol_begins_with_a_quote_and_a_snapshot_of_a_deep_book() -> None:
    for symbol in (PERP, SPOT):
        events = [event for event in stretch(simulated(), 1) if event.symbol == symbol]
        quote, book = events[:2]
        assert isinstance(quote, QuoteEvent)
        assert isinstance(book, BookEvent)
        assert book.snapshot
        assert not any(later.snapshot for later in events[2:] if isinstance(later, BookEvent))
        assert len(book.bids) == len(book.asks) == 65
        assert (book.bids[0].price, book.asks[0].price) == (quote.bid_price, quote.ask_price)


def test_rebuilt_books_equal_the_quotes_and_trades_happen_at_the_best_price() -> None:
    source = simulated()
    quotes: dict[str, QuoteEvent] = {}
    trades = 0
    for event in stretch(source, 60):
        if isinstance(event, QuoteEvent):
            assert 0 < event.bid_price < event.ask_price
            quotes[event.symbol] = event
        elif isinstance(event, TradeEvent):
            trades += 1
            best = quotes[event.symbol]
            assert event.price == (best.ask_price if event.taker_side == 1 else best.bid_price)
            assert event.quantity > 0
    counts = source.counts
    assert counts.checks.checked > 1_000
    assert (counts.checks.mismatches, counts.gaps) == (0, 0)
    assert trades > 300


def middle(quote: QuoteEvent) -> Decimal:
    mid = mid_price(quote.bid_price, quote.ask_price)
    assert mid is not None
    return mid


def test_spread_depth_and_basis_are_of_the_recorded_order() -> None:
    levels: dict[str, dict[bool, dict[Decimal, Decimal]]] = {}
    spreads, basis, depths = [], [], []
    last: dict[str, QuoteEvent] = {}
    for event in stretch(simulated(3), 120):
        if isinstance(event, QuoteEvent):
            last[event.symbol] = event
            if event.symbol == PERP:
                spreads.append(event.ask_price - event.bid_price)
            if len(last) == 2:
                basis.append(float(middle(last[PERP]) / middle(last[SPOT]) - 1) * 1e4)
        elif isinstance(event, BookEvent) and event.symbol == PERP:
            sides = levels.setdefault(event.symbol, {True: {}, False: {}})
            for is_bid, changes in ((True, event.bids), (False, event.asks)):
                sides[is_bid].update({level.price: level.quantity for level in changes})
                sides[is_bid] = {price: size for price, size in sides[is_bid].items() if size}
            assert max(sides[True]) < min(sides[False])
            edge = max(sides[True]) * Decimal("0.999")
            depths.append(float(sum(price * size for price, size in sides[True].items() if price > edge)))
    assert 0.9 < spreads.count(Decimal("0.1")) / len(spreads) < 0.98
    assert -4.3 < np.median(basis) < -3.1
    assert 0.3 < np.std(basis) < 1.5
    assert 5e6 < np.median(depths) < 12e6


def test_a_run_that_goes_on_begins_at_its_last_prices() -> None:
    source = simulated(symbols=(PERP,), first_prices={"BTC": Decimal(50_000)}, sequence=41)
    events = stretch(source, 1)
    assert events[0].sequence == 42
    assert isinstance(events[0], QuoteEvent)
    assert abs(middle(events[0]) / 50_000 - 1) < Decimal("0.002")
    assert abs(source.last_prices()["BTC"] / 50_000 - 1) < Decimal("0.01")


def test_unknown_symbols_are_refused() -> None:
    with pytest.raises(SourceError, match=r"symbols: symbol 'DOGE/USDT' is not traded here; allowed are BTC"):
        simulated(symbols=("DOGE/USDT",))
