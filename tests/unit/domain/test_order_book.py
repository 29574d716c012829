"""Books rebuilt from differences: the venue's chaining rules, gaps and best prices."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.market import Level
from titan.domain.order_book import BookDiff, BookSide, BookState, DiffResult, OrderBook


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(quantity)) for price, quantity in pairs)


def diff(first: int, last: int, previous: int | None = None, bids=(), asks=()) -> BookDiff:
    return BookDiff(first, last, previous, 0, levels(*bids), levels(*asks))


APPLIED, OLDER, KEPT, GAP = DiffResult.APPLIED, DiffResult.OLDER, DiffResult.KEPT, DiffResult.GAP
BIDS, ASKS = levels(("99", "1"), ("98", "2")), levels(("101", "1"), ("102", "2"))


def opened(last_id: int = 100) -> OrderBook:
    book = OrderBook()
    assert book.on_snapshot(last_id, BIDS, ASKS, lambda: None) == []
    return book


@pytest.mark.parametrize(
    ("description", "first", "second", "results"),
    [
        ("spot: overlaps the snapshot, then chains by first id", diff(95, 105), diff(106, 110), (APPLIED, APPLIED)),
        ("spot: begins right after the snapshot", diff(101, 105), diff(106, 110), (APPLIED, APPLIED)),
        ("spot: a hole after the snapshot", diff(102, 105), diff(106, 110), (GAP, KEPT)),
        ("spot: a hole later", diff(101, 105), diff(107, 110), (APPLIED, GAP)),
        ("spot: an overlap later is a broken chain too", diff(101, 105), diff(105, 110), (APPLIED, GAP)),
        ("spot: older than the snapshot is passed over", diff(90, 100), diff(101, 110), (OLDER, APPLIED)),
        (
            "futures: overlaps the snapshot, then chains by pu",
            diff(90, 105, 80),
            diff(300, 310, 105),
            (APPLIED, APPLIED),
        ),
        ("futures: pu is the snapshot's id", diff(200, 205, 100), diff(300, 310, 205), (APPLIED, APPLIED)),
        ("futures: a hole after the snapshot", diff(200, 205, 150), diff(300, 310, 205), (GAP, KEPT)),
        ("futures: the same again is older, no hole", diff(90, 105, 80), diff(90, 105, 80), (APPLIED, OLDER)),
        ("spot: the same again is older, no hole", diff(101, 105), diff(101, 105), (APPLIED, OLDER)),
        ("futures: a hole later", diff(90, 105, 80), diff(300, 310, 107), (APPLIED, GAP)),
    ],
)
def test_chaining(description: str, first: BookDiff, second: BookDiff, results: tuple[DiffResult, DiffResult]) -> None:
    book = opened()
    assert (book.on_diff(first), book.on_diff(second)) == results, description


def test_differences_before_the_snapshot_are_kept_and_applied_on_it() -> None:
    book = OrderBook()
    calls: list[int] = []
    kept = [diff(90, 95, bids=[("97", "9")]), diff(96, 103, bids=[("99.5", "3")]), diff(104, 106, asks=[("101", "0")])]
    assert {book.on_diff(one) for one in kept} == {KEPT}
    assert book.state is BookState.WAITING
    applied = book.on_snapshot(100, BIDS, ASKS, lambda: calls.append(book.last_id))
    assert applied == kept[1:]
    assert calls == [103, 106]
    assert book.bids.best() == Level(Decimal("99.5"), Decimal(3))
    assert book.asks.best() == Level(Decimal(102), Decimal(2))
    assert Decimal(97) not in book.bids.levels


FUTURES_DIFFS = [diff(80, 95, 70), diff(96, 105, 95), diff(150, 160, 105, bids=[("99.5", "3")]), diff(170, 180, 160)]
SPOT_DIFFS = [diff(90, 95), diff(96, 105), diff(106, 110, bids=[("99.5", "3")]), diff(111, 115)]


@pytest.mark.parametrize("diffs", [SPOT_DIFFS, FUTURES_DIFFS], ids=["spot", "futures"])
@given(data=st.data())
def test_a_repeated_difference_changes_nothing(diffs: list[BookDiff], data: st.DataObject) -> None:
    snapshot_at = data.draw(st.integers(0, len(diffs)), label="differences before the snapshot")
    # Each difference may come again at once, or later behind newer ones.
    again = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4), label="(which, how late)")
    sent = [(float(index), one) for index, one in enumerate(diffs)]
    sent += [(which + late + 0.5, diffs[which]) for which, late in again]
    book = OrderBook()
    for moment, one in sorted(sent, key=lambda each: each[0]):
        if book.state is BookState.WAITING and moment >= snapshot_at:
            assert book.on_snapshot(100, BIDS, ASKS, lambda: None) is not None
        assert book.on_diff(one) is not GAP
    if book.state is BookState.WAITING:
        applied = book.on_snapshot(100, BIDS, ASKS, lambda: None)
        assert applied == diffs[1:]
    assert (book.state, book.last_id, book.gaps) == (BookState.VALID, diffs[-1].last_id, 0)
    assert book.bids.best() == Level(Decimal("99.5"), Decimal(3))


def test_a_gap_breaks_the_book_until_the_next_snapshot() -> None:
    book = opened()
    assert book.on_diff(diff(101, 105)) is APPLIED
    assert book.on_diff(diff(107, 110, bids=[("99.9", "1")])) is GAP
    assert (book.state, book.gaps) == (BookState.BROKEN, 1)
    assert book.on_diff(diff(111, 112)) is KEPT
    assert book.on_snapshot(109, BIDS, ASKS, lambda: None) is not None
    assert (book.state, book.last_id, book.gaps) == (BookState.VALID, 112, 1)
    assert book.bids.best().price == Decimal("99.9")


def test_a_snapshot_that_does_not_reach_the_kept_differences_is_refused() -> None:
    book = OrderBook()
    book.on_diff(diff(150, 160))
    assert book.on_snapshot(100, BIDS, ASKS, lambda: None) is None
    assert book.state is BookState.WAITING


def test_a_snapshot_older_than_the_book_changes_nothing() -> None:
    book = opened()
    book.on_diff(diff(101, 105, bids=[("99.9", "1")]))
    assert book.on_snapshot(103, (), (), lambda: None) is None
    assert book.bids.best().price == Decimal("99.9")


def test_an_empty_side_has_price_and_quantity_zero() -> None:
    assert BookSide(bids=True).best() == Level(Decimal(0), Decimal(0))


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=60), st.booleans())
def test_the_best_price_is_that_of_a_plain_dictionary(changes: list[tuple[int, int]], bids: bool) -> None:
    side, plain = BookSide(bids), {}
    for price, quantity in changes:
        side.apply(levels((str(price), str(quantity))))
        plain[price] = quantity
        plain = {one: size for one, size in plain.items() if size}
        best = (max if bids else min)(plain) if plain else 0
        assert side.best() == Level(Decimal(best), Decimal(plain.get(best, 0)))
    expected = sorted(plain, reverse=bids)
    assert sorted(map(int, side.levels), reverse=bids) == expected
