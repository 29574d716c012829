"""The proof of the book can fail: corrupted books are caught, and late tickers are waited for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.market import Level
from titan.recordings.book_check import BestPrices, BookCheck, CheckCounts


def best(update_id: int, bid: str, ask: str = "101", size: str = "1") -> BestPrices:
    return BestPrices(update_id, Level(Decimal(bid), Decimal(size)), Level(Decimal(ask), Decimal(1)))


def run(*messages: tuple[str, BestPrices]) -> tuple[CheckCounts, list[str]]:
    counts, examples = CheckCounts(), []
    check = BookCheck(counts, examples)
    for kind, prices in messages:
        (check.on_ticker if kind == "ticker" else check.on_applied)(prices)
    check.finish()
    return counts, examples


@pytest.mark.parametrize(
    ("description", "messages", "expected"),
    [
        ("ticker first, same id", [("ticker", best(5, "99")), ("diff", best(5, "99"))], (1, 0, 0)),
        ("ticker received after the difference", [("diff", best(5, "99")), ("ticker", best(5, "99"))], (1, 0, 0)),
        (
            "the last of several tickers not newer than the difference counts",
            [("diff", best(9, "98")), *(("ticker", best(i, p)) for i, p in ((5, "97"), (8, "98"), (10, "96")))],
            (1, 0, 0),
        ),
        ("a ticker only newer than the difference", [("diff", best(5, "99")), ("ticker", best(6, "99"))], (0, 0, 1)),
        ("no ticker at all", [("diff", best(5, "99"))], (0, 0, 1)),
        ("a wrong price", [("ticker", best(5, "99")), ("diff", best(5, "98"))], (1, 1, 0)),
        ("a wrong ask", [("ticker", best(5, "99")), ("diff", best(5, "99", ask="102"))], (1, 1, 0)),
        ("a wrong size", [("ticker", best(5, "99")), ("diff", best(5, "99", size="2"))], (1, 1, 0)),
        (
            "two differences between two tickers",
            [("ticker", best(5, "99")), ("diff", best(6, "99")), ("diff", best(7, "99")), ("ticker", best(8, "98"))],
            (2, 0, 0),
        ),
    ],
)
def test_comparisons(description: str, messages: list[tuple[str, BestPrices]], expected: tuple[int, int, int]) -> None:
    counts, examples = run(*messages)
    assert (counts.checked, counts.mismatches, counts.incomparable) == expected, description
    assert len(examples) == expected[1]


def test_a_mismatch_is_reported_with_both_sides() -> None:
    _, examples = run(("ticker", best(5, "99")), ("diff", best(6, "98.5")))
    assert examples == ["update 6: rebuilt 1 @ 98.5 / 1 @ 101, ticker 5 1 @ 99 / 1 @ 101"]


def test_many_tickers_without_differences_do_not_grow_without_bound_nor_lose_the_newest() -> None:
    tickers = [("ticker", best(number, "99")) for number in range(10_000)]
    counts, _ = run(*tickers, ("diff", best(10_000, "99")))
    assert (counts.checked, counts.mismatches) == (1, 0)
