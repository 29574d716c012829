"""Execution may tell the account before the market tells what is traded: nothing held is forgotten."""

from __future__ import annotations

from decimal import Decimal

from support.risk_scene import HASH, PERP, rules
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.positions import PhaseShare, Position
from titan.risk.book import RiskBook
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters

HELD = Position(
    symbol=PERP,
    quantity=Decimal("-0.004"),
    average_entry_price=Decimal(61755),
    stop_price=Decimal(62126),
    shares=(
        PhaseShare(phase_id="scavenger", intent_id="i", quantity=Decimal("-0.004"), average_entry_price=Decimal(61755)),
    ),
)


def unlisted_book() -> RiskBook:
    return RiskBook(Limits(rules(), HASH, RiskParameters(), "paper"), (), ("scavenger", "hunter"))


def test_a_position_told_before_its_symbol_is_listed_counts_from_then() -> None:
    book = unlisted_book()
    book.set_positions([HELD])
    book.list_instruments(PAPER_INSTRUMENTS.values())
    held = book.symbols[PERP]
    assert (held.net, held.stop_price, held.shares) == (HELD.quantity, HELD.stop_price, {"scavenger": HELD.quantity})


def test_an_account_that_no_longer_has_it_is_believed() -> None:
    book = unlisted_book()
    book.set_positions([HELD])
    book.set_positions([])
    book.list_instruments(PAPER_INSTRUMENTS.values())
    assert not book.symbols[PERP].net
