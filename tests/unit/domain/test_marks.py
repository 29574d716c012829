"""Marks: one print moves nothing that ratchets, whatever its size; identity, order and crossed quotes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.equity import Equity, Peak, Valuation, exposures, value_account
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.marks import Mark, Marks, mid_price
from titan.domain.positions import Holding
from titan.domain.time import NS_PER_DAY

D = Decimal
PERP, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
NOW = 100 * NS_PER_DAY + 5_000_000_000


class Tape:
    """Prints of one source, a millisecond apart."""

    def __init__(self, *prices: object) -> None:
        self.marks = Marks()
        self.sequence = 0
        self.print(*prices)

    def print(self, *prices: object, symbol: str = PERP) -> None:
        for price in prices:
            self.sequence += 1
            value = D(str(price))
            self.marks.update(symbol, value, value, NOW + self.sequence * 1_000_000, "run", self.sequence)

    @property
    def mark(self) -> Mark:
        mark = self.marks.get(PERP)
        assert mark is not None
        return mark


@pytest.mark.parametrize(
    ("description", "prices", "price", "confirmed"),
    [
        ("one print confirms nothing", [60000], 60000, None),
        ("two that agree do", [60000, 60010], 60010, 60000),
        ("two that differ wildly do not", [60000, 90000], 60000, None),
        ("the third decides between them", [60000, 90000, 90010], 90010, 90000),
        ("a small move counts at once, and is not confirmed", [60000, 60000, 62940], 62940, 60000),
        ("the outlier is gone", [60000, 60000, 62940, 60010], 60010, 60010),
        ("a wild jump waits", [60000, 60000, 30000], 60000, 60000),
        ("the second print supports the nearer of both", [60000, 60000, 30000, 30100], 30100, 30100),
        ("a normal print clears the suspicion", [60000, 60000, 30000, 60010, 30000], 60010, 60000),
        ("outliers on both sides agree on nothing", [60000, 60000, 90000, 30000, 90000], 60000, 60000),
        ("a trend is followed one print behind", [60000, 60010, 60020, 60030], 60030, 60020),
    ],
)
def test_prints_become_marks(description: str, prices: list[object], price: int, confirmed: int | None) -> None:
    mark = Tape(*prices).mark
    assert (mark.price, mark.confirmed) == (D(price), confirmed and D(confirmed)), description


def test_an_unbelieved_print_lets_the_mark_age() -> None:
    tape = Tape(60000, 60000)
    before = tape.mark
    tape.print(30000)
    assert tape.mark.market_time_ns == before.market_time_ns
    tape.print(30010)
    assert tape.mark.market_time_ns == NOW + 4_000_000


@pytest.mark.parametrize(
    ("description", "bid", "ask"),
    [("crossed", 60001, 60000), ("no bid", 0, 60000), ("no ask", 60000, 0), ("empty", 0, 0), ("negative", -1, 60000)],
)
def test_a_quote_without_a_middle_is_no_print(description: str, bid: int, ask: int) -> None:
    tape = Tape(60000, 60000)
    before = tape.mark
    tape.marks.update(PERP, D(bid), D(ask), NOW + 9_000_000, "run", 9)
    assert tape.mark == before, description
    assert mid_price(D(bid), D(ask)) is None
    assert mid_price(D(60000), D(60000)) == D(60000), "locked is not crossed"


@pytest.mark.parametrize(
    ("description", "age_ms", "source", "sequence", "counts"),
    [
        ("the next print", -1, "run", 3, True),
        ("two prints of one moment", 0, "run", 3, True),
        ("the same print again", 0, "run", 2, False),
        ("the same number, later", -1, "run", 2, False),
        ("an older print that comes late", 1, "run", 1, False),
        ("a later number of an older time", 1, "run", 3, False),
        ("another source, later", -1, "other", 1, True),
        ("another source, not later", 0, "other", 1, False),
        ("another source, older", 1, "other", 9, False),
    ],
)
def test_evidence_has_an_identity(description: str, age_ms: int, source: str, sequence: int, counts: bool) -> None:
    tape = Tape(60000, 60000)
    at_ns = NOW + (2 - age_ms) * 1_000_000
    tape.marks.update(PERP, D(60050), D(60050), at_ns, source, sequence)
    assert (tape.mark.price == D(60050)) is counts, description


def test_a_second_source_confirms_and_another_symbol_does_not() -> None:
    tape = Tape(60000, 60000, 57100)
    tape.print(2500, 2500.01, symbol=ETH)
    assert tape.mark.confirmed == D(60000)
    tape.marks.update(PERP, D(57110), D(57110), NOW + 50_000_000, "other", 1)
    assert tape.mark.confirmed == D(57110)


@given(st.lists(st.integers(59_000, 61_000), min_size=2, max_size=12), st.integers(1, 200_000), st.data())
def test_one_outlier_stays_without_effect_on_what_is_confirmed(
    prices: list[int], outlier: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(2, len(prices)))
    tape = Tape()
    for price in [*prices[:place], outlier, *prices[place:]]:
        tape.print(price)
        confirmed = tape.mark.confirmed
        assert confirmed is None or min(prices) <= confirmed <= max(prices)


class Held:
    """An account under the prints of a tape, valued as Execution values it."""

    def __init__(self, cash: int, **quantities: str) -> None:
        self.tape = Tape(60000, 60000)
        self.tape.print(2500, 2500, symbol=ETH)
        symbols = {"btc": (PERP, 60000), "eth": (ETH, 2500)}
        self.holdings = {symbols[name][0]: Holding(D(q), D(symbols[name][1])) for name, q in quantities.items()}
        self.cash = D(cash)
        self.peak = Peak()
        self.value()

    def print(self, *prices: object, symbol: str = PERP) -> None:
        for price in prices:
            self.tape.print(price, symbol=symbol)
            self.value()

    def value(self) -> Equity:
        valuation = Valuation(
            assets={"USDT": self.cash},
            net_deposits={},
            holdings=self.holdings,
            realized_pnl=D(0),
            fees=D(0),
            peak=self.peak,
        )
        now_ns = NOW + self.tape.sequence * 1_000_000
        equity = value_account(valuation, self.tape.marks, PAPER_INSTRUMENTS, now_ns, 10**10, D(20))
        if equity.known:
            self.peak = self.peak.observed(equity.confirmed_equity, now_ns)
            self.tape.marks.set_exposure(exposures(self.holdings, self.tape.marks), equity.confirmed_equity)
        return equity


def test_a_single_print_raises_no_peak() -> None:
    """Equity 1,000 at five times leverage: 4.9 % up once would be a peak of 1,245 that the account never had."""
    account = Held(1000, btc="0.0833")
    account.print(62940)
    assert account.value().equity < 1001, "at this leverage 4.9 % of price is 24.5 % of equity: it waits"
    account.print(60000, 60001)
    equity = account.value()
    assert equity.high_water_mark < D("1000.1")
    assert equity.drawdown == 0


@pytest.mark.parametrize(
    ("description", "quantity", "price", "counts"),
    [
        ("without leverage 5 % of the price", "0.01", 62940, True),
        ("at five times leverage 1 %", "0.0833", 60610, False),
        ("and less counts", "0.0833", 60590, True),
        ("a short alike", "-0.0833", 60610, False),
    ],
)
def test_the_bound_knows_leverage(description: str, quantity: str, price: int, counts: bool) -> None:
    account = Held(1000, btc=quantity)
    account.print(price)
    assert (account.tape.mark.price == D(price)) is counts, description


def test_what_has_no_price_has_no_exposure() -> None:
    """A worth below zero, and a holding without a print: nothing divides by its notional."""
    held = {PERP: Holding(D(1), D(1)), ETH: Holding(D(0), D(0)), "X/USDT": Holding(D(1), D(1))}
    tape = Tape(60000, 60000)
    assert exposures(held, tape.marks) == {PERP: D(60000)}
    tape.marks.set_exposure(exposures(held, tape.marks), D(-5))
    tape.print(60001)
    assert tape.mark.price == D(60000)


def test_a_worthless_account_believes_confirmed_prices_only() -> None:
    account = Held(0, btc="0.0833")
    account.print(60001)
    assert account.tape.mark.price == D(60000)


def test_a_single_print_is_no_loss_until_its_own_symbol_prints_again() -> None:
    """0.08 BTC and 0.01 ETH on 1,000: one print of BTC at 57,100 is not confirmed by ETH, a fee or a deposit."""
    account = Held(1000, btc="0.08", eth="0.01")
    account.print(57100)
    account.print(2500.01, symbol=ETH)
    account.cash -= 1
    assert account.value().drawdown < D("0.002")
    account.cash += 500
    account.peak = account.peak.transferred(D(500))
    assert account.value().drawdown < D("0.002")
    account.print(57120)
    assert account.value().drawdown > D("0.15")


def test_a_day_starts_with_confirmed_equity() -> None:
    account = Held(1000, btc="0.0833")
    account.peak = Peak(high_water_mark=D(1000), day_start_equity=D(1000), day=99)
    account.print(60590)
    assert account.peak.day_start_equity == D(1000)
    assert account.peak.day == 100
