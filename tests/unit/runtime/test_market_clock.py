from __future__ import annotations

import pytest

from titan.runtime.market_feed import MarketClock

T0, S, MS = 1_723_100_000_000_000_000, 1_000_000_000, 1_000_000


class Machine:
    def __init__(self) -> None:
        self.now_ns = 77 * S

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> MarketClock:
    """A clock that follows a market in real time since T0."""
    made = MarketClock(machine)
    made.rejoin()
    made.advance(T0, running=True)
    return made


def test_a_process_that_was_stopped_sees_the_whole_time_of_its_stop(clock: MarketClock, machine: Machine) -> None:
    event_ns = T0 + 10 * MS
    clock.advance(event_ns, running=True)
    machine.now_ns += 2 * S
    assert clock.now_ns - event_ns == 2 * S
    # The batches of meanwhile wait in the stream and are read late; they hold nothing back.
    for behind in range(40):
        clock.advance(event_ns + behind * 50 * MS, running=True)
        assert clock.now_ns - event_ns == 2 * S


def test_a_silent_feed_does_not_stop_it_and_late_batches_do_not_slow_it(clock: MarketClock, machine: Machine) -> None:
    for second in range(1, 20):
        machine.now_ns += S
        clock.advance(T0 + second * S - (second % 3) * 400 * MS, running=True)
        assert clock.now_ns == T0 + second * S


def test_a_market_that_was_stopped_is_followed_again(clock: MarketClock, machine: Machine) -> None:
    machine.now_ns += 5 * S
    clock.rejoin()
    clock.advance(T0, running=True, snapshot=True)
    assert clock.now_ns == T0 + 5 * S, "prices go stale while it is away"
    machine.now_ns += 3 * S
    before_ns = clock.now_ns
    clock.advance(T0 + 50 * MS, running=True)
    assert clock.now_ns == before_ns, "never back"
    machine.now_ns += 8 * S - 50 * MS
    assert clock.now_ns == before_ns, "it stands until the market has caught up"
    machine.now_ns += S
    clock.advance(T0 + 9 * S, running=True)
    assert clock.now_ns == T0 + 9 * S, "and has no offset for ever"


def test_a_snapshot_before_the_market_starts_sets_no_offset(machine: Machine) -> None:
    made = MarketClock(machine)
    made.rejoin()
    made.advance(T0, running=True, snapshot=True)
    machine.now_ns += 7 * S
    made.advance(T0 + 50 * MS, running=True)
    machine.now_ns += 10 * S
    assert made.now_ns == T0 + 50 * MS + 10 * S


def test_in_lockstep_it_stands_at_the_last_batch(machine: Machine) -> None:
    made = MarketClock(machine)
    made.rejoin()
    made.advance(T0, running=False)
    machine.now_ns += 9 * S
    assert made.now_ns == T0
    made.advance(T0 - S, running=False)
    assert made.now_ns == T0
