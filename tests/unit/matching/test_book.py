"""The book and what we took from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.venues.matching import D, levels
from titan.domain.enums import Side
from titan.domain.market import BookEvent, Level, QuoteEvent
from titan.domain.numbers import ZERO
from titan.matching.book import Book, TakenLevel


def event(bids: str = "", asks: str = "", snapshot: bool = False) -> BookEvent:
    return BookEvent(1, "S", 0, 0, snapshot, 0, levels(bids), levels(asks))


def a_book(bids: str = "99x1 98x2", asks: str = "101x1 102x2") -> Book:
    book = Book()
    book.apply(event(bids, asks, snapshot=True))
    return book


def walked(book: Book, side: Side, quantity: str, limit: str | None = None) -> list[tuple[str, str]]:
    found = book.walk(side, D(quantity), None if limit is None else D(limit))
    return [(str(level.price), str(level.quantity)) for level in found]


def test_best_prices_and_mid() -> None:
    book = a_book()
    assert (book.best_bid, book.best_ask, book.mid_price) == (D(99), D(101), D(100))
    assert (Book().best_bid, Book().best_ask, Book().mid_price) == (None, None, None)


@pytest.mark.parametrize(
    ("why", "side", "quantity", "limit", "wanted"),
    [
        ("best price first, part of the last level", Side.BUY, "2", None, [("101", "1"), ("102", "1")]),
        ("a sale walks the bids downwards", Side.SELL, "2.5", None, [("99", "1"), ("98", "1.5")]),
        ("the limit price is included", Side.BUY, "9", "101", [("101", "1")]),
        ("nothing at that price", Side.BUY, "9", "100", []),
        ("no more than there is", Side.SELL, "9", None, [("99", "1"), ("98", "2")]),
    ],
)
def test_walk(why: str, side: Side, quantity: str, limit: str | None, wanted: list[tuple[str, str]]) -> None:
    assert walked(a_book(), side, quantity, limit) == wanted, why


def test_walk_changes_nothing_and_take_does() -> None:
    book = a_book()
    assert walked(book, Side.BUY, "2") == walked(book, Side.BUY, "2")
    book.take(Side.BUY, book.walk(Side.BUY, D("0.4"), None))
    assert walked(book, Side.BUY, "2") == [("101", "0.6"), ("102", "1.4")]


@pytest.mark.parametrize(
    ("why", "difference", "left"),
    [
        ("unchanged: taken stays taken", "102x2", []),
        ("shrinks: what is on display is what we took", "101x0.8", []),
        ("grows: what was added is there", "101x1.3", [("101", "0.3")]),
        ("goes and comes back: forgotten", "101x0 101x1", [("101", "1")]),
    ],
)
def test_a_level_is_not_taken_twice(why: str, difference: str, left: list[tuple[str, str]]) -> None:
    book = a_book(asks="101x1")
    book.take(Side.BUY, book.walk(Side.BUY, D(1), None))
    book.apply(event(asks=difference))
    assert walked(book, Side.BUY, "9", "101") == left, why


def test_a_snapshot_keeps_what_was_taken_of_a_level_that_stays() -> None:
    book = a_book()
    book.take(Side.BUY, book.walk(Side.BUY, D(1), None))
    book.apply(event("99x1", "101x1 103x1", snapshot=True))
    assert walked(book, Side.BUY, "9") == [("103", "1")]


def test_what_was_taken_survives_a_restart_and_the_events_that_lead_up_to_it() -> None:
    book = a_book()
    book.take(Side.BUY, book.walk(Side.BUY, D(1), None))
    assert book.take_changes() == (TakenLevel(Side.SELL, D(101), D(1)),)
    assert book.take_changes() is None
    again = Book((TakenLevel(Side.SELL, D(101), D(1)),))
    again.apply(event(asks="101x0.5"), catching_up=True)
    again.apply(event(asks="101x1 102x2"), catching_up=True)
    assert walked(again, Side.BUY, "9") == [("102", "2")]


def test_quotes_make_a_book_only_where_there_is_none() -> None:
    quote = QuoteEvent(1, "S", 0, 0, D(99), D(1), D(101), D(2))
    book = Book()
    book.apply_quote(quote)
    assert (book.best_bid, book.best_ask) == (D(99), D(101))
    book.apply_quote(QuoteEvent(2, "S", 0, 0, D(98), D(1), ZERO, ZERO))
    assert (book.best_bid, book.best_ask) == (D(98), None)
    deep = a_book("90x1", "110x1")
    deep.apply_quote(quote)
    assert (deep.best_bid, deep.best_ask) == (D(90), D(110))


_prices = st.integers(1, 12).map(D)
_quantities = st.integers(0, 4).map(D)
_changes = st.lists(st.tuples(_prices, _quantities), max_size=25)


@given(changes=_changes, takes=st.lists(st.integers(1, 6).map(D), max_size=6))
def test_the_ladder_is_the_sorted_dictionary_and_nothing_is_taken_that_is_not_there(
    changes: list[tuple[D, D]], takes: list[D]
) -> None:
    book, model = Book(), {}
    for index, (price, quantity) in enumerate(changes):
        book.apply(BookEvent(1, "S", 0, 0, False, 0, (), (Level(price, quantity),)))
        model[price] = quantity
        if index < len(takes):
            book.take(Side.BUY, book.walk(Side.BUY, takes[index], None))
        on_display = {price: quantity for price, quantity in model.items() if quantity}
        assert book.best_ask == min(on_display, default=None)
        found = book.walk(Side.BUY, D(1000), None)
        assert [level.price for level in found] == sorted(level.price for level in found)
        assert all(ZERO < level.quantity <= on_display[level.price] for level in found)


def test_a_crossed_book_has_no_middle() -> None:
    book = Book()
    book.apply(event("101x1", "100x1", snapshot=True))
    assert (book.best_bid, book.best_ask, book.mid_price) == (D(101), D(100), None)
