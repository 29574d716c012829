"""A rebase of the peak: each precondition can refuse it, all of them are named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from titan.domain.account import Account
from titan.domain.enums import Posture
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.positions import Holding
from titan.domain.rebase import RebaseFacts, rebase_problems

FACTS = RebaseFacts(
    latch=Posture.HALTED, reconciled=True, equity=Equity(known=True), open_positions=0, working_orders=0
)


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({}, []),
        ({"latch": Posture.CLOSE_ONLY}, []),
        ({"latch": Posture.FLATTEN}, []),
        ({"latch": Posture.ARMED}, ["latch: ARMED"]),
        ({"reconciled": False}, ["orders and account: not reconciled"]),
        ({"open_positions": 1}, ["open positions: 1"]),
        ({"working_orders": 2}, ["working orders: 2"]),
        ({"equity": Equity(known=False, reason="dark")}, ["equity: unknown (dark)"]),
        ({"latch": Posture.ARMED, "open_positions": 1}, ["latch: ARMED", "open positions: 1"]),
    ],
)
def test_preconditions(changed: dict[str, Any], problems: list[str]) -> None:
    found = rebase_problems(msgspec.structs.replace(FACTS, **changed))
    assert len(found) == len(problems)
    assert all(line.startswith(start) for line, start in zip(found, problems, strict=True))


def test_what_the_venue_would_not_let_us_close_is_flat() -> None:
    account = Account(PAPER_INSTRUMENTS)
    dust = PAPER_INSTRUMENTS["BTC/USDT"].min_quantity / 2
    account.holdings["BTC/USDT"] = Holding(dust, Decimal(60000))
    assert (account.open_positions, account.closable_positions) == (1, 0)
    account.holdings["BTC/USDT"] = Holding(-dust * 2, Decimal(60000))
    account.holdings["X/USDT:USDT"] = Holding(dust, Decimal(1))
    account.holdings["ETH/USDT"] = Holding()
    assert account.closable_positions == 2, "of an unknown instrument everything counts"
