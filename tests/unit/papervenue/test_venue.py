"""The venue between its file and its market: windows, identifiers, a full disk, and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from support.durable.full_disk import full_disk
from support.venues.matching import MS, PERP, D, levels, send
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import BookEvent
from titan.domain.reasons import Reason
from titan.domain.venue import CancelOrder, VenueOrderState, VenueReject, VenueTrade
from titan.matching.order_matcher import OrderUpdate
from titan.papervenue.store import VenueStore
from titan.papervenue.venue import RecordedVenue, first_state
from titan.runtime.telemetry.logs import get_logger

WALL_NS = 1_700_000_000_000_000_000


class Place:
    """A venue in a folder, with a wall clock and a book."""

    def __init__(self, folder: Path) -> None:
        self.wall_ns = WALL_NS
        self.store = VenueStore(folder, first_state(D(10_000)))
        self.venue = RecordedVenue(
            self.store, PAPER_INSTRUMENTS, 50 * MS, D(20), lambda: self.wall_ns, get_logger("test")
        )

    def request(
        self, client_order_id: str, age_ms: float = 0, window_ms: int = 1000, **fields: str
    ) -> VenueReject | None:
        request = send(client_order_id, "buy", fields.pop("quantity", "0.1"), **fields)
        return self.venue.request(
            msgspec.structs.replace(request, signed_at_ns=WALL_NS - int(age_ms * MS), receive_window_ms=window_ms)
        )

    async def market(
        self, sequence: int, at_ms: int, bids: str = "60000x1", asks: str = "60001x1"
    ) -> list[OrderUpdate]:
        event = BookEvent(sequence, PERP, 0, at_ms * MS, True, 0, levels(bids), levels(asks))
        return await self.venue.on_events([event], at_ms * MS)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("why", "age_ms", "window_ms", "taken"),
    [
        ("at once", 0, 1000, True),
        ("at the end of the window", 1000, 1000, True),
        ("after the window", 1000.001, 1000, False),
        ("without a window nothing that took time", 1, 0, False),
        ("signed a second ahead", -1000, 1000, True),
        ("signed further ahead", -1001, 1000, False),
    ],
)
async def test_receive_window(place: Place, why: str, age_ms: float, window_ms: int, taken: bool) -> None:
    reject = place.request("a", age_ms, window_ms)
    assert (reject is None) is taken, why
    updates = await place.market(1, 100)
    assert bool(updates) is taken, "what is refused is never executed"
    if reject is not None:
        assert reject.reason is Reason.RECEIVE_WINDOW
        assert reject.message == f"RECEIVE_WINDOW: age_ms={age_ms:.1f}, window_ms={window_ms}, ahead_ms=1000"
        assert place.venue.engine.order("a") is None


def test_a_late_cancel_is_refused_as_well(place: Place) -> None:
    late = CancelOrder(client_order_id="a", market_time_ns=0, signed_at_ns=WALL_NS - 2000 * MS, receive_window_ms=100)
    reject = place.venue.request(late)
    assert reject is not None
    assert (reject.request, reject.reason) == ("cancel", Reason.RECEIVE_WINDOW)


@pytest.mark.parametrize("client_order_id", ["", "a" * 37, "a b", "ä", "a-b"])
def test_identifiers(place: Place, client_order_id: str) -> None:
    reject = place.request(client_order_id)
    assert reject is not None
    assert reject.reason is Reason.INVALID_INTENT
    assert f"client_order_id: {client_order_id!r} is not allowed" in reject.message


@pytest.mark.parametrize("fields", [{"quantity": "-1"}, {"limit": "-1"}, {"stop": "-1"}])
def test_negative_numbers(place: Place, fields: dict[str, str]) -> None:
    reject = place.request("a", **fields)
    assert reject is not None
    assert (reject.reason, reject.message.split(":")[1]) == (
        Reason.INVALID_INTENT,
        " -1 is not allowed; allowed are amounts from 0 on",
    )


async def test_a_request_that_cannot_be_written_down_is_refused_and_not_executed(place: Place) -> None:
    with full_disk(place.store.path):
        reject = place.request("a")
        assert reject is not None
        assert reject.reason is Reason.VENUE_ERROR
        assert "cannot be written: File too large" in reject.message
        assert "cannot be written" in place.venue.problem
    assert await place.market(1, 100) == []
    assert place.venue.engine.order("a") is None
    place.venue.tidy()
    assert place.venue.problem == "", "found out without anybody asking"
    assert place.request("a") is None, "the same id may be sent again: the venue never had it"


async def test_effects_that_cannot_be_stored_are_sent_later_and_meanwhile_nothing_else_happens(
    place: Place,
) -> None:
    await place.market(1, 10)
    assert place.request("a") is None
    with full_disk(place.store.path):
        matching = asyncio.ensure_future(place.market(2, 100))
        await asyncio.sleep(0)
        assert not matching.done()
        reject = place.request("b")
        assert reject is not None
        assert reject.reason is Reason.VENUE_ERROR
    reject = place.request("b")
    assert reject is not None, "what came first is written first"
    updates = await matching
    assert [type(update).__name__ for update in updates] == ["VenueTrade", "VenueOrder"]
    assert place.request("b") is None


async def test_after_a_restart_an_event_is_matched_once_and_no_answer_is_lost(place: Place, tmp_path: Path) -> None:
    await place.market(1, 10)
    assert place.request("a") is None
    assert place.request("rest", limit="60000", quantity="1") is None
    await place.market(2, 100)
    before = place.venue.account()
    place.store.close()
    again = Place(tmp_path)
    assert again.venue.account() == before
    order = again.venue.engine.order("a")
    assert order is not None
    assert order.state is VenueOrderState.FILLED
    assert again.request("a") == again.venue.engine.reject(
        send("a", "buy", "1"), Reason.DUPLICATE_ORDER, "DUPLICATE_ORDER: client_order_id=a was used before"
    )
    assert await again.market(2, 100, bids="", asks="59000x9") == [], "sent again: only the book moves"
    updates = await again.market(3, 150, bids="", asks="59000x9")
    assert [update.quantity for update in updates if isinstance(update, VenueTrade)] == [D(1)]
