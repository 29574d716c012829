"""Two writers may never both send, wherever they are stopped; each rule that ensures it is needed."""

from __future__ import annotations

import itertools
import random

import pytest

from support.durable.lease_holders import DURATION, SKEW, WINDOW, BothMaySendError, SimulatedMachine
from support.tiers.sweeps import CHAOS, swept
from titan.durable.lease import Lease, LeaseState

LONG = DURATION + WINDOW + SKEW
LATE = DURATION - 1  # a renewal that is just in time
# Time that passes before the holder runs, after it was stopped, after its successor was, and after the holder's next
# stop.
PASSES = [
    (0, 0, 0, LONG),
    (0, LONG, 0, 0),
    (0, LONG, LONG, 0),
    (LATE, LONG - LATE, 0, 0),
    (LATE, LONG - LATE, 2, LONG),
    (LATE, 0, LONG - LATE, 2),
]


def _enumerate(lease_type: type[Lease], *, same_boot: bool = True) -> int:
    """Every stop of a holder, then of its successor, then of the holder again, over the times that matter.

    A sample of the schedules without TITAN_CHAOS. Return in how many schedules both sent.
    """
    both = 0
    schedules = list(itertools.product(range(12), range(24), range(12), PASSES))
    for first, second, third, passes in swept(schedules, 7):
        machine = SimulatedMachine(lease_type, same_boot=same_boot)
        machine.add_holder()
        machine.add_holder()
        while not machine.requests:
            machine.holders[0].step()
        machine.now_ns += passes[0]
        machine.run([(0, first, passes[1]), (1, second, passes[2]), (0, third, passes[3]), (1, 40, 0), (0, 20, 0)])
        machine.check()
        both += len({request.sender for request in machine.requests}) == 2
    return both


def _wander(lease_type: type[Lease], seeds: range) -> int:
    """Random schedules of three holders with kills, releases and steps of the wall clock. Return as above."""
    both = 0
    for seed in seeds:
        rng = random.Random(seed)
        machine = SimulatedMachine(lease_type, same_boot=rng.random() < 0.7)
        for _ in range(3):
            machine.add_holder()
        for _ in range(60):
            who = rng.randrange(len(machine.holders))
            machine.run([(who, rng.choice([1, 2, 3, 5, 8, 20]), rng.choice([0, 0, 0, 1, 2, 4, LATE, LONG]))])
            act = rng.random()
            if act < 0.02:
                machine.dead.add(who)
                machine.add_holder()
            elif act < 0.04:
                machine.holders[who].release_requested = True
            elif act < 0.06:
                machine.wall_error = rng.choice([-50, -3, 0, SKEW] if machine.same_boot else [-SKEW, 0])
        machine.check()
        both += len({request.term for request in machine.requests}) > 1
    return both


def test_every_stop_of_two_holders() -> None:
    assert _enumerate(Lease) > 1000


def test_every_stop_of_two_holders_on_two_machines() -> None:
    assert _enumerate(Lease, same_boot=False) > 1000


def test_wandering_holders() -> None:
    assert _wander(Lease, range(1500 if CHAOS else 600)) > 300


class TrustsItsRenewal(Lease):
    def _extend(self, *, first: bool = False) -> None:
        terms, self._store.terms = self._store.terms, lambda: [self.term]  # type: ignore[method-assign]
        try:
            super()._extend(first=first)
        finally:
            self._store.terms = terms  # type: ignore[method-assign]


class ReadsOnceOnly(Lease):
    def _wait_out(self) -> int:
        if self.state is LeaseState.CLAIMED:
            self.state = LeaseState.HELD
        return 0


class SendsWhileItThinksItHolds(Lease):
    def may_send(self, now_ns: int) -> bool:
        return self.state is LeaseState.HELD


class WaitsForNoMargin(Lease):
    def _wait_for_one(self, term: int) -> int:
        return max(0, super()._wait_for_one(term) - WINDOW - SKEW)


@pytest.mark.parametrize("mutant", [TrustsItsRenewal, ReadsOnceOnly, SendsWhileItThinksItHolds, WaitsForNoMargin])
def test_each_rule_is_needed(mutant: type[Lease]) -> None:
    def search() -> None:
        # Wandering finds most of them at once.
        _wander(mutant, range(4000))
        _enumerate(mutant)

    with pytest.raises(BothMaySendError):
        search()
