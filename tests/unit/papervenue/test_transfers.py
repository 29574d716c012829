"""Play money: stored before it moves, once by its id, never more out than is free."""

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
from titan.domain.venue import Transfer
from titan.papervenue.store import VenueStore
from titan.papervenue.venue import RecordedVenue, first_state
from titan.runtime.telemetry.logs import get_logger

WALL_NS = 1_700_000_000_000_000_000


def open_venue(folder: Path) -> tuple[VenueStore, RecordedVenue]:
    store = VenueStore(folder, first_state(D(200)))
    return store, RecordedVenue(store, PAPER_INSTRUMENTS, 50 * MS, D(20), lambda: WALL_NS, get_logger("test"))


def test_a_transfer_moves_cash_and_deposits_and_survives_a_restart(tmp_path: Path) -> None:
    store, venue = open_venue(tmp_path)
    assert venue.transfer(Transfer("a", D(50))) is None
    assert venue.transfer(Transfer("b", D("-20.5"))) is None
    assert venue.transfer(Transfer("a", D(50))) is None, "asked twice, done once"
    for _ in range(2):
        account = venue.account()
        assert (account.balances, account.deposits) == ({"USDT": D("229.5")}, D("229.5"))
        assert venue.engine.transferred(Transfer("b", D(1)))
        store.close()
        store, venue = open_venue(tmp_path)
    store.close()


@pytest.mark.parametrize(
    ("description", "amount", "message"),
    [
        ("all but the margin", "-193.94", None),
        ("more than is free", "-193.95", "INSUFFICIENT_MARGIN: amount=193.95, available=193.94"),
        ("more than there is", "-300", "INSUFFICIENT_MARGIN: amount=300, available=193.94"),
    ],
)
def test_margin_in_use_stays(tmp_path: Path, description: str, amount: str, message: str | None) -> None:
    """0.002 BTC at 60,000 and leverage 20 take 6 USDT of margin."""
    store, venue = open_venue(tmp_path)
    order = msgspec.structs.replace(send("o1", "buy", "0.002", at_ms=100), signed_at_ns=WALL_NS, receive_window_ms=1000)
    assert venue.request(order) is None
    for sequence in (1, 2):
        event = BookEvent(sequence, PERP, 0, sequence * 100 * MS, True, 0, levels("60000x1"), levels("60000x1"))
        asyncio.run(venue.on_events([event], sequence * 100 * MS))
    assert venue.engine.positions()[0].quantity == D("0.002")
    refused = venue.transfer(Transfer("a", D(amount)))
    if message is None:
        assert refused is None, description
        assert venue.account().deposits == D("6.06")
    else:
        assert refused is not None
        assert refused[0] is Reason.INSUFFICIENT_MARGIN
        assert refused[1].startswith(message), description
        assert venue.account().deposits == D(200)
    store.close()


def test_a_transfer_that_cannot_be_stored_moves_nothing(tmp_path: Path) -> None:
    store, venue = open_venue(tmp_path)
    with full_disk(store.path):
        refused = venue.transfer(Transfer("a", D(50)))
    assert refused is not None
    assert refused[0] is Reason.VENUE_ERROR
    assert venue.account().deposits == D(200)
    assert venue.transfer(Transfer("a", D(50))) is None
    assert venue.account().deposits == D(250)
    store.close()
