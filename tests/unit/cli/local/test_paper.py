"""Amounts of play money as people write them, and the sentence about a transfer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.cli.errors import BadInput
from titan.cli.local.paper import read_amount, transfer_sentence
from titan.v1 import venue_pb2 as v


@pytest.mark.parametrize(
    ("text", "amount"), [("100", "100"), ("12.50", "12.5"), ("1e2", "100"), ("0.00000001", "0.00000001")]
)
def test_an_amount(text: str, amount: str) -> None:
    assert read_amount(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "0", "-5", "ten", "NaN", "Infinity", "1,5", "0.000000001"])
def test_no_amount(text: str) -> None:
    with pytest.raises(BadInput, match="allowed is an amount of USDT above 0"):
        read_amount(text)


def test_a_transfer_is_told_with_what_is_there_now() -> None:
    response = v.TransferResponse(done=True, deposits="150", cash="149.5")
    assert transfer_sentence(Decimal(-50), response) == (
        "withdrew 50 USDT: deposits less withdrawals are 150 USDT, cash is 149.5 USDT; equity follows within seconds"
    )
    assert transfer_sentence(Decimal(50), response).startswith("deposited 50 USDT: ")
