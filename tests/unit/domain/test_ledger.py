"""Every transaction sums to zero in every currency."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.enums import OrderRole, Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.ledger import (
    Ledger,
    LedgerAccount,
    Posting,
    Transaction,
    UnbalancedError,
    fill_transaction,
    transfer_transaction,
)
from titan.domain.orders import Fill

D = Decimal
PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def a_fill(symbol: str, side: Side, realized: str = "0", fee: str = "0.5", currency: str = "USDT") -> Fill:
    return Fill(
        trade_id="1",
        client_order_id="t1",
        intent_id="i",
        phase_id="p",
        order_role=OrderRole.ENTRY,
        symbol=symbol,
        side=side,
        quantity=D("0.01"),
        price=D(60000),
        fee=D(fee),
        fee_currency=currency,
        maker=False,
        event_time_ns=1,
        policy_hash="h",
        realized_pnl=D(realized),
    )


@pytest.mark.parametrize(
    ("description", "fill", "assets"),
    [
        ("opening a perp costs its fee", a_fill(PERP, Side.BUY), {"USDT": "99.5"}),
        ("closing one brings its profit", a_fill(PERP, Side.SELL, realized="7"), {"USDT": "106.5"}),
        ("spot moves base and quote", a_fill(SPOT, Side.BUY), {"USDT": "-500.5", "BTC": "0.01"}),
        (
            "a fee in base is taken from base",
            a_fill(SPOT, Side.BUY, "0", "0.001", "BTC"),
            {"USDT": "-500", "BTC": "0.009"},
        ),
        ("a rebate is money in", a_fill(PERP, Side.BUY, fee="-0.2"), {"USDT": "100.2"}),
    ],
)
def test_fills(description: str, fill: Fill, assets: dict[str, str]) -> None:
    ledger = Ledger()
    ledger.book(transfer_transaction(LedgerAccount.DEPOSITS, "USDT", D(100), "start", 0))
    ledger.book(fill_transaction(fill, PAPER_INSTRUMENTS[fill.symbol]))
    assert ledger.assets() == {key: D(value) for key, value in assets.items()}, description
    assert ledger.balanced


def test_an_unbalanced_transaction_is_refused_and_leaves_nothing() -> None:
    ledger = Ledger()
    wrong = Transaction(
        reference="fill:x:1",
        market_time_ns=1,
        postings=(
            Posting(LedgerAccount.ASSETS, "USDT", D(1)),
            Posting(LedgerAccount.FEES, "USDT", D(-1)),
            Posting(LedgerAccount.ASSETS, "BTC", D(1)),
        ),
    )
    with pytest.raises(UnbalancedError, match="fill:x:1: BTC sums to 1"):
        ledger.book(wrong)
    assert ledger.assets() == {}
    assert ledger.transactions == 0
