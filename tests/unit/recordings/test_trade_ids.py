"""Seen trade ids against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from titan.recordings.trade_ids import TradeIds


@given(st.lists(st.integers(0, 40) | st.integers(0, 2**63 - 1), max_size=120))
def test_an_id_is_new_exactly_once(sent: list[int]) -> None:
    ids, plain = TradeIds(), set()
    for trade_id in sent:
        assert ids.add(trade_id) is (trade_id not in plain)
        plain.add(trade_id)
    assert not any(ids.add(trade_id) for trade_id in plain)
