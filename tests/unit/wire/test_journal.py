"""Journal records that carry transfers and peaks: written and read alike, and those of before."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.journal_records import DayStart, Deposit, Fact, HighWaterMark, PeakMove, Record
from titan.v1 import journal_pb2
from titan.wire.journal import decode_record, encode_record

D = Decimal


@pytest.mark.parametrize(
    "fact",
    [
        Deposit(asset="USDT", amount=D(-700), reference="paper 300"),
        Deposit(asset="USDT", amount=D(50), reference="paper 250", in_proportion=False),
        DayStart(equity=D(200), high_water_mark=D(210)),
        HighWaterMark(D("210.5")),
        PeakMove(high_water_mark=D("270.833333333333"), by="execution", reason="transfers of -700"),
        PeakMove(high_water_mark=D(200), by="ana", reason="after the crash", nonce="n1"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_round_trip(fact: Fact) -> None:
    assert decode_record(encode_record(Record(fact, 5, 2))) == Record(fact, 5, 2)


def test_a_deposit_of_before_moved_the_peak_by_its_amount() -> None:
    deposit = journal_pb2.Deposit(asset="USDT", amount="50", reference="r")
    fact = decode_record(journal_pb2.JournalRecord(deposit=deposit).SerializeToString()).fact
    assert fact == Deposit(asset="USDT", amount=D(50), reference="r", in_proportion=False)
