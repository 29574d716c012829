"""The account is the fold over its records: balanced, sums that agree, repetition harmless, the same twice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from titan.domain.account import Account, AccountError
from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, PositionEffect, Posture, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import (
    Adoption,
    BrainTerm,
    DayStart,
    Deposit,
    Fact,
    HighWaterMark,
    Intake,
    LatchChange,
    PeakMove,
    Record,
    Refusal,
)
from titan.domain.ledger import LedgerAccount
from titan.domain.orders import Fill, Order, TransitionError
from titan.domain.position_effect import reducible_in
from titan.domain.positions import Holding
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_DAY
from titan.domain.truth import Drift

D = Decimal
PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def an_intake(
    intent: str = "i1",
    side: Side = Side.BUY,
    quantity: str = "0.01",
    position_effect: PositionEffect = PositionEffect.OPENING,
    phase: str = "scavenger",
    symbol: str = PERP,
    attempt: int = 1,
) -> Intake:
    opening = position_effect is PositionEffect.OPENING
    return Intake(
        intent_id=intent,
        phase_id=phase,
        attempt=attempt,
        position_effect=position_effect,
        symbol=symbol,
        side=side,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity=D(quantity),
        policy_hash="h",
        term=1,
        event_time_ns=1,
        stop_price=D(50000) if opening else D(0),
        target_price=D(70000) if opening else D(0),
        setup="trap",
    )


def fill_of(
    order: Order, trade_id: str, quantity: str, price: str = "60000", fee: str = "0.1", sequence: int = 0
) -> Fill:
    return Fill(
        trade_id=trade_id,
        client_order_id=order.client_order_id,
        intent_id=order.intent_id,
        phase_id=order.phase_id,
        order_role=order.order_role,
        symbol=order.symbol,
        side=order.side,
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        fee_currency="USDT",
        maker=False,
        event_time_ns=5,
        policy_hash="h",
        venue_sequence=sequence,
    )


class Journal:
    """An account and the records that made it, in place of the file."""

    def __init__(self) -> None:
        self.account = Account(PAPER_INSTRUMENTS)
        self.records: list[Record] = []

    def write(self, fact: Fact, now_ns: int = 5) -> Any:
        record = Record(fact, now_ns)
        change = self.account.apply(record)
        self.records.append(record)
        return change

    def traded(self, intake: Intake, trade_id: str, price: str) -> Any:
        order = self.write(intake).order
        return self.write(fill_of(order, trade_id, str(intake.quantity), price))


def state_of(account: Account) -> dict[str, object]:
    plain = {"ledger": lambda ledger: dict(ledger.balances), "positions": vars, "trip_results": vars}
    return {
        name: plain[name](value) if name in plain else value
        for name, value in vars(account).items()
        if name != "instruments"
    }


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_intake_makes_the_order_with_its_deterministic_id(journal: Journal) -> None:
    order = journal.write(an_intake()).order
    assert (order.order_role, order.state, order.reduce_only) == (OrderRole.ENTRY, OrderState.JOURNALLED, False)
    assert journal.account.first_results["i1", 1] == order.client_order_id
    exit_order = journal.write(an_intake("i2", Side.SELL, position_effect=PositionEffect.REDUCING)).order
    assert (exit_order.order_role, exit_order.reduce_only) == (OrderRole.EXIT, True)


def test_a_repeated_trade_counts_once(journal: Journal) -> None:
    order = journal.write(an_intake()).order
    first = journal.write(fill_of(order, "v1", "0.004"))
    before = journal.account.ledger.transactions
    again = journal.write(fill_of(order, "v1", "0.004"))
    assert (first.fill is not None, again.fill) == (True, None)
    assert journal.account.holdings[PERP].quantity == D("0.004")
    assert journal.account.ledger.transactions == before


def test_profit_of_a_round_trip(journal: Journal) -> None:
    journal.write(Deposit(asset="USDT", amount=D(200), reference="start"))
    journal.traded(an_intake(), "v1", "60000")
    change = journal.traded(an_intake("i2", Side.SELL, position_effect=PositionEffect.REDUCING), "v2", "61000")
    assert change.fill.realized_pnl == D(10)
    assert (change.round_trip.realized_pnl, change.round_trip.fees, change.round_trip.setup) == (
        D(10),
        D("0.2"),
        "trap",
    )
    assert journal.account.ledger.balance(LedgerAccount.ASSETS, "USDT") == D("209.8")
    assert journal.account.ledger.balanced


def test_a_reversal_finishes_one_round_trip_and_begins_the_next(journal: Journal) -> None:
    journal.traded(an_intake(), "v1", "60000")
    change = journal.traded(an_intake("i2", Side.SELL, "0.03"), "v2", "61000")
    assert change.round_trip.intent_id == "i1"
    assert change.round_trip.quantity == D("0.01")
    assert journal.account.trips["scavenger", PERP].intent_id == "i2"
    assert journal.account.holdings[PERP] == Holding(D("-0.02"), D(61000), 5)
    assert [lot.intent_id for lot in journal.account.lots["scavenger", PERP]] == ["i2"]


def test_a_reopened_share_is_a_new_round_trip(journal: Journal) -> None:
    for number in range(3):
        journal.traded(an_intake(f"o{number}"), f"a{number}", "60000")
        journal.traded(
            an_intake(f"c{number}", Side.SELL, position_effect=PositionEffect.REDUCING), f"b{number}", "60100"
        )
    assert [trip.intent_id for trip in journal.account.round_trips] == ["o0", "o1", "o2"]


@pytest.mark.parametrize(
    ("description", "fill", "error", "names"),
    [
        ("an order nobody knows", {"client_order_id": "tx"}, AccountError, "order tx"),
        ("a symbol nobody knows", {"symbol": "X/Y"}, AccountError, "symbol X/Y"),
        ("more than the order", {"quantity": D(1)}, TransitionError, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    journal: Journal, description: str, fill: dict[str, Any], error: type[Exception], names: str
) -> None:
    order = journal.write(an_intake()).order
    before = msgspec.json.encode({key: str(value) for key, value in state_of(journal.account).items()})
    with pytest.raises(error, match=names):
        journal.write(msgspec.structs.replace(fill_of(order, "v1", "0.01"), **fill))
    assert msgspec.json.encode({key: str(value) for key, value in state_of(journal.account).items()}) == before, (
        description
    )


def test_the_cursor_stands_before_the_first_gap(journal: Journal) -> None:
    order = journal.write(an_intake()).order
    for sequence, cursor in ((1, 1), (3, 1), (4, 1), (2, 4)):
        journal.write(fill_of(order, f"v{sequence}", "0.001", sequence=sequence))
        assert journal.account.venue_cursor == cursor


def test_terms_and_peaks_only_rise(journal: Journal) -> None:
    for term in (3, 2, 5):
        journal.write(BrainTerm(term))
    journal.write(DayStart(equity=D(100), high_water_mark=D(120)))
    journal.write(HighWaterMark(D(110)))
    assert journal.account.brain_term == 5
    assert journal.account.peak.high_water_mark == D(120)
    journal.write(Deposit(asset="USDT", amount=D(50), reference="more", in_proportion=False))
    assert (journal.account.peak.high_water_mark, journal.account.peak.day_start_equity) == (D(170), D(150)), (
        "a record of before peaks moved in proportion"
    )


def test_a_transfer_waits_for_the_next_known_equity(journal: Journal) -> None:
    journal.write(DayStart(equity=D(960), high_water_mark=D(1000)))
    journal.write(Deposit(asset="USDT", amount=D(-700), reference="out"))
    peak = journal.account.peak
    assert (peak.high_water_mark, peak.day_start_equity, peak.unsettled) == (D(1000), D(260), D(-700))
    assert journal.account.valuation().net_deposits == {"USDT": D(-700)}
    settled = peak.observed(D(260), NS_PER_DAY)
    journal.write(PeakMove(high_water_mark=settled.high_water_mark, by="execution", reason="transfers"))
    assert journal.account.peak.drawdown(D(260)) == D("0.04")
    assert journal.account.peak.unsettled == 0


def test_a_rebase_sets_the_peak_and_its_nonce_is_used(journal: Journal) -> None:
    journal.write(DayStart(equity=D(800), high_water_mark=D(1000)))
    journal.write(PeakMove(high_water_mark=D(800), by="ana", reason="after the flash crash", nonce="n1"))
    assert (journal.account.peak.high_water_mark, journal.account.peak.day_start_equity) == (D(800), D(800))
    assert journal.account.rebases == {"n1"}


def test_a_refusal_is_remembered_as_the_first_result(journal: Journal) -> None:
    refusal = Refusal(intent_id="i1", phase_id="p", attempt=1, reason=Reason.POSTURE, message="m")
    journal.write(refusal)
    journal.write(msgspec.structs.replace(refusal, reason=Reason.STOP_MISSING))
    assert journal.account.first_results["i1", 1] == refusal


def test_evidence_changes_no_state(journal: Journal) -> None:
    before = str(state_of(journal.account))
    journal.write(LatchChange(posture=Posture.ARMED, by="me", reason="test"))
    journal.write(Drift(drift_class=DriftClass.GHOST, symbol=PERP, ours="1", venues="0"))
    assert str(state_of(journal.account)) == before


@pytest.mark.parametrize(
    ("description", "venue", "share", "nobody"),
    [
        ("a ghost: the venue has none", "0", "0", "0"),
        ("the venue has less", "0.004", "0.004", "0"),
        ("the venue has more: the excess is nobody's", "0.015", "0.01", "0.005"),
        ("the venue has the other side", "-0.01", "0", "-0.01"),
    ],
)
def test_adopting_a_position(journal: Journal, description: str, venue: str, share: str, nobody: str) -> None:
    journal.traded(an_intake(), "v1", "60000")
    journal.write(Adoption(symbol=PERP, quantity=D(venue), average_entry_price=D(60500)))
    account = journal.account
    assert account.holdings[PERP].quantity == D(venue), description
    assert account.shares["scavenger", PERP].quantity == D(share)
    assert account.shares.get(("", PERP), Holding()).quantity == D(nobody)


def test_adopting_a_balance_keeps_the_ledger_balanced(journal: Journal) -> None:
    journal.write(Deposit(asset="USDT", amount=D(200), reference="start"))
    journal.write(Adoption(asset="USDT", amount=D("199.5")))
    assert journal.account.ledger.balance(LedgerAccount.ASSETS, "USDT") == D("199.5")
    assert journal.account.ledger.balance(LedgerAccount.ADJUSTMENTS, "USDT") == D("0.5")
    assert journal.account.ledger.balanced


@pytest.mark.parametrize(
    ("description", "side", "quantity", "in_flight", "position_effect"),
    [
        ("opposes and fits", Side.SELL, "0.01", "0", PositionEffect.REDUCING),
        ("a part", Side.SELL, "0.004", "0", PositionEffect.REDUCING),
        ("any excess is opening", Side.SELL, "0.011", "0", PositionEffect.OPENING),
        ("the same side", Side.BUY, "0.001", "0", PositionEffect.OPENING),
        ("nothing", Side.SELL, "0", "0", PositionEffect.OPENING),
        ("another exit reserves", Side.SELL, "0.007", "0.004", PositionEffect.OPENING),
        ("what it leaves is free", Side.SELL, "0.006", "0.004", PositionEffect.REDUCING),
    ],
)
def test_position_effects(
    journal: Journal, description: str, side: Side, quantity: str, in_flight: str, position_effect: PositionEffect
) -> None:
    journal.traded(an_intake(), "v1", "60000")
    if D(in_flight):
        journal.write(an_intake("i9", Side.SELL, in_flight, PositionEffect.REDUCING))
    assert reducible_in(journal.account, "scavenger", PERP, side).effect(D(quantity)) is position_effect, description


def test_stops_reserve_nothing_and_other_phases_shares_are_not_ours(journal: Journal) -> None:
    order = journal.traded(an_intake(), "v1", "60000").order
    journal.write(
        msgspec.structs.replace(
            order,
            client_order_id="ts",
            order_role=OrderRole.STOP,
            side=Side.SELL,
            state=OrderState.ACKED,
            filled_quantity=D(0),
        )
    )
    assert reducible_in(journal.account, "scavenger", PERP, Side.SELL).effect(D("0.01")) is PositionEffect.REDUCING
    assert reducible_in(journal.account, "hunter", PERP, Side.SELL).effect(D("0.01")) is PositionEffect.OPENING
    # A share that fits does not help where the account's net position is smaller.
    journal.traded(an_intake("h1", Side.SELL, "0.004", phase="hunter"), "v2", "60000")
    assert reducible_in(journal.account, "scavenger", PERP, Side.SELL).effect(D("0.01")) is PositionEffect.OPENING
    assert reducible_in(journal.account, "scavenger", PERP, Side.SELL).effect(D("0.006")) is PositionEffect.REDUCING


class AccountMachine(RuleBasedStateMachine):
    """Orders of two phases on two symbols, filled in any order, repeated, canceled and adopted."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.number = 0

    def _working(self) -> Iterator[Order]:
        return iter([order for order in self.journal.account.orders.values() if order.remaining_quantity > 0])

    @rule(
        phase=st.sampled_from(["scavenger", "hunter"]),
        symbol=st.sampled_from([PERP, SPOT]),
        side=st.sampled_from(list(Side)),
        size=st.integers(1, 20),
    )
    def take(self, phase: str, symbol: str, side: Side, size: int) -> None:
        self.number += 1
        quantity = D(size) / 1000
        position_effect = reducible_in(self.journal.account, phase, symbol, side).effect(quantity)
        self.journal.write(an_intake(f"i{self.number}", side, str(quantity), position_effect, phase, symbol))

    @rule(pick=st.integers(0, 1000), part=st.sampled_from(["0.001", "all"]), price=st.integers(50000, 70000))
    def fill(self, pick: int, part: str, price: int) -> None:
        working = list(self._working())
        if not working:
            return
        order = working[pick % len(working)]
        self.number += 1
        quantity = str(order.remaining_quantity) if part == "all" else part
        change = self.journal.write(fill_of(order, f"v{self.number}", quantity, str(price)))
        again = self.journal.write(change.fill)
        assert again.fill is None

    @rule(venue=st.integers(-20, 20))
    def adopt(self, venue: int) -> None:
        self.journal.write(Adoption(symbol=PERP, quantity=D(venue) / 1000, average_entry_price=D(60000)))

    @rule(amount=st.integers(-100, 100))
    def deposit(self, amount: int) -> None:
        self.journal.write(Deposit(asset="USDT", amount=D(amount), reference="r"))

    @invariant()
    def sums_agree(self) -> None:
        account = self.journal.account
        for symbol in (PERP, SPOT):
            net = account.holdings.get(symbol, Holding()).quantity
            assert net == sum((share.quantity for key, share in account.shares.items() if key[1] == symbol), D(0))
            for key, lots in account.lots.items():
                if key[1] == symbol:
                    assert account.shares[key].quantity == sum((lot.quantity for lot in lots), D(0))
                    assert len({lot.quantity > 0 for lot in lots}) <= 1, "lots of one share are of one side"
        assert account.ledger.balanced

    @invariant()
    def recovery_is_the_same_fold(self) -> None:
        again = Account(PAPER_INSTRUMENTS)
        for record in self.journal.records:
            again.apply(record)
        assert state_of(again) == state_of(self.journal.account)


TestAccountMachine = AccountMachine.TestCase
TestAccountMachine.settings = settings(stateful_step_count=25)
