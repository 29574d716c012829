"""The process dies before or after each write of a run: restarted, the run ends as if nothing had happened.

Without TITAN_CHAOS it dies at a sample of the writes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.tiers.sweeps import swept
from support.venues.matching import MS, PERP, SPOT, D, levels, send
from titan.domain.enums import Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import BookEvent, MarketEvent, TradeEvent
from titan.domain.venue import SendOrder
from titan.matching.state import VenueDelta, VenueState
from titan.papervenue.store import VenueStore
from titan.papervenue.venue import RecordedVenue, first_state
from titan.runtime.telemetry.logs import get_logger

STEPS = 60
STEP_MS = 50


class KilledError(Exception):
    """The process is gone."""


class MortalStore(VenueStore):
    """Dies at one of its writes, before or after it."""

    writes = 0
    dies_at = -1
    after_writing = False

    def append(self, delta: VenueDelta) -> None:
        self.writes += 1
        dies = self.writes == self.dies_at
        if dies and not self.after_writing:
            raise KilledError
        super().append(delta)
        if dies:
            raise KilledError


class Script:
    """Events of the market and requests of a client, step by step; the same for every run."""

    def __init__(self) -> None:
        dice = random.Random(20240808)
        self.events: list[list[MarketEvent]] = []
        self.requests: list[list[SendOrder]] = []
        self.books: list[dict[str, BookEvent]] = [{}]
        sequence, middle, number = 0, 60_000, 0
        for step in range(STEPS):
            events: list[MarketEvent] = []
            books = dict(self.books[-1])
            for _ in range(4):
                sequence += 1
                at_ns = (step * STEP_MS + dice.randrange(1, STEP_MS)) * MS
                symbol = dice.choice([PERP, PERP, SPOT])
                middle += dice.randrange(-2, 3)
                if dice.random() < 0.5:
                    size = dice.choice(["0.2", "0.5"])
                    bids = levels(" ".join(f"{middle - 1 - depth}x{size}" for depth in range(4)))
                    asks = levels(" ".join(f"{middle + 1 + depth}x{size}" for depth in range(4)))
                    books[symbol] = BookEvent(sequence, symbol, 0, at_ns, True, 0, bids, asks)
                    events.append(books[symbol])
                else:
                    price, side = D(middle + dice.randrange(-1, 2)), dice.choice(list(Side))
                    events.append(TradeEvent(sequence, symbol, 0, at_ns, "t", price, D("0.3"), side))
            events.sort(key=lambda event: event.market_time_ns)
            self.events.append([_renumbered(event, sequence - 3 + index) for index, event in enumerate(events)])
            self.books.append(
                {**self.books[-1], **{each.symbol: each for each in self.events[-1] if isinstance(each, BookEvent)}}
            )
            orders = []
            for _ in range(dice.randrange(3)):
                number += 1
                shape: dict[str, Any] = dice.choice(
                    [{}, {"limit": str(middle + dice.randrange(-3, 3))}, {"stop": str(middle - 4), "reduce_only": True}]
                )
                side = "sell" if "stop" in shape else dice.choice(["buy", "sell"])
                quantity = dice.choice(["0.1", "0.35"])
                symbol = dice.choice([PERP, PERP, SPOT])
                orders.append(send(f"o{number}", side, quantity, symbol, (step + 1) * STEP_MS, **shape))
            self.requests.append(orders)


def _renumbered(event: MarketEvent, sequence: int) -> MarketEvent:
    return msgspec.structs.replace(event, sequence=sequence)


SCRIPT = Script()


def folder_of(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


async def run(folder: Path, dies_at: int = -1, after_writing: bool = False) -> tuple[VenueState, int]:
    """Play the script in ``folder``, restarted after its death; the end state and the number of writes."""
    first_step, died, writes = 0, False, 0
    while True:
        store = MortalStore(folder, first_state(D(100_000)))
        store.dies_at, store.after_writing = (-1 if died else dies_at), after_writing
        venue = RecordedVenue(store, PAPER_INSTRUMENTS, STEP_MS * MS, D(20), lambda: 0, get_logger("test"))
        for book in SCRIPT.books[first_step].values():
            venue.engine.on_snapshot(book)
        try:
            for step in range(first_step, STEPS):
                first_step = step
                await venue.on_events(SCRIPT.events[step], (step + 1) * STEP_MS * MS)
                for request in SCRIPT.requests[step]:
                    # Execution asks by id before it would send again.
                    if venue.engine.order(request.client_order_id) is None:
                        assert venue.request(request) is None
        except KilledError:
            died = True
            store.close()
            continue
        writes = store.writes
        state = store.state
        store.close()
        return state, writes


@pytest.mark.parametrize("after_writing", [False, True], ids=["before the write", "after the write"])
async def test_death_at_each_write(tmp_path: Path, after_writing: bool) -> None:
    wanted, writes = await run(folder_of(tmp_path, "whole"))
    assert writes > 40
    assert len(wanted.trades) > 30
    assert any(trade.maker for trade in wanted.trades)
    for at in swept(range(1, writes + 1), 5):
        state, _ = await run(folder_of(tmp_path, str(at)), at, after_writing)
        for field in ("orders", "trades", "balances", "positions", "pending", "market_time_ns", "last_sequence"):
            assert getattr(state, field) == getattr(wanted, field), f"{field}, dead at write {at}"
