"""The join of Brain and Execution under random orders, exits, partial fills, lots, phases and cuts of the stream."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.risk.join import PHASES, Join
from support.risk.scene import PERP
from support.tiers.sweeps import CHAOS
from titan.domain.enums import Action, OrderRole, OrderState, Side
from titan.domain.orders import OrderEventKind
from titan.domain.position_effect import reducible
from titan.domain.positions import Holding
from titan.domain.time import NS_PER_DAY
from titan.domain.trip_results import NO_DAYS

D = Decimal
_SIDES = st.sampled_from([Side.BUY, Side.SELL])
_PHASES = st.sampled_from(PHASES)
_QUANTITIES = st.sampled_from([D("0.001"), D("0.002"), D("0.005"), D("0.02")])
_INDEXES = st.integers(0, 7)
# Messages that arrive after an act: up, then down.
_PASSED = st.tuples(st.integers(0, 3), st.integers(0, 6))
_PART = D("0.001")
_CAN_ACK = (OrderState.SENT, OrderState.UNKNOWN)


class TheJoin(RuleBasedStateMachine):
    """After any history: once all is delivered, Brain's view is Execution's, and what is held can be closed."""

    @initialize()
    def begin(self) -> None:
        self.join = Join()
        self.join.settle()

    @rule(phase=_PHASES, side=_SIDES, quantity=_QUANTITIES, passed=_PASSED)
    def open(self, phase: str, side: Side, quantity: Decimal, passed: tuple[int, int]) -> None:
        self.join.submit(phase, side, quantity, Action.OPEN)
        self.deliver(passed)

    @rule(phase=_PHASES, quantity=_QUANTITIES, passed=_PASSED)
    def close(self, phase: str, quantity: Decimal, passed: tuple[int, int]) -> None:
        held = self.join.state.symbols[PERP].shares.get(phase, D(0))
        if held:
            self.join.submit(phase, Side.SELL if held > 0 else Side.BUY, min(abs(held), quantity), Action.CLOSE)
        self.deliver(passed)

    @rule(index=_INDEXES, whole=st.booleans(), protected=st.booleans(), passed=_PASSED)
    def fill(self, index: int, whole: bool, protected: bool, passed: tuple[int, int]) -> None:
        """Any order, whatever the others do: a stop may fire beside its phase's exit."""
        working = self.join.execution.working()
        if working:
            order = working[index % len(working)]
            rest = order.remaining_quantity
            self.join.execution.fill(order, rest if whole else min(rest, _PART))
        if protected:
            self.join.execution.protect()
        self.deliver(passed)

    @rule(passed=_PASSED)
    def acknowledge(self, passed: tuple[int, int]) -> None:
        for order in self.join.execution.working():
            if order.state in _CAN_ACK:
                self.join.execution.happen(order, OrderEventKind.ACK)
        self.join.execution.protect()
        self.deliver(passed)

    @rule(index=_INDEXES, how=st.sampled_from(["cancel", "late trade", "lost"]))
    def end(self, index: int, how: str) -> None:
        """The venue ends an order, never had it, or reports a trade of it after its end."""
        working = self.join.execution.working()
        if not working:
            return
        order = working[index % len(working)]
        if how == "lost":
            if order.state is OrderState.SENT:
                self.join.execution.lose(order)
            return
        ended = self.join.execution.happen(order, OrderEventKind.CANCEL)
        if how == "late trade" and ended.remaining_quantity:
            self.join.execution.fill(ended, min(ended.remaining_quantity, _PART))

    @rule()
    def flatten(self) -> None:
        self.join.execution.flatten()

    @rule(night=st.booleans())
    def reconcile(self, night: bool) -> None:
        self.join.execution.now_ns += NS_PER_DAY if night else 0
        self.join.execution.reconcile()

    @rule(passed=_PASSED)
    def digest(self, passed: tuple[int, int]) -> None:
        self.join.execution.send_digest()
        self.deliver(passed)

    @precondition(lambda self: self.join.up)
    @rule(restart=st.booleans(), reconnected=st.booleans())
    def cut(self, restart: bool, reconnected: bool) -> None:
        """Lose everything on its way, with or without Brain."""
        if restart:
            self.join.restart_brain()
        else:
            self.join.cut()
        if reconnected:
            self.join.connect()

    def deliver(self, passed: tuple[int, int]) -> None:
        """Deliver so many messages up, then so many down; a broken stream is opened first."""
        up, down = passed
        if up and not self.join.up:
            self.join.connect()
        for _ in range(up):
            self.join.deliver_up()
        for _ in range(down):
            self.join.deliver_down()

    @invariant()
    def no_difference_was_found(self) -> None:
        if hasattr(self, "join"):
            assert not self.join.execution.drifts

    @rule()
    def settle(self) -> None:
        join = self.join
        join.settle()
        state = join.state
        assert state.mirror.lines() == join.execution.view()
        assert not join.client.pending
        working = join.execution.working()
        entries = {one.intent_id for one in working if one.order_role is OrderRole.ENTRY}
        exits = {one.intent_id for one in working if one.order_role in (OrderRole.EXIT, OrderRole.FLATTEN)}
        assert (set(state.reservations.entries), set(state.reservations.exits)) == (entries, exits)
        assert state.symbols[PERP].net == join.execution.account.positions.holdings.get(PERP, Holding()).quantity
        totals = {
            (phase, setup): total for phase in PHASES for setup, total in state.phases[phase].history.by_setup.items()
        }
        results = join.execution.account.trip_results
        assert totals == {key: total for key, total in results.by_setup.items() if key[0]}
        for phase in PHASES:
            assert state.phases[phase].history.days == results.by_day.get(phase, NO_DAYS)

    def teardown(self) -> None:
        """Whatever happened: everything can be closed, and then nothing is left or reserved."""
        if not hasattr(self, "join"):
            return
        join = self.join
        self.settle()
        for order in join.execution.working():
            if order.order_role in (OrderRole.ENTRY, OrderRole.EXIT, OrderRole.FLATTEN):
                join.execution.happen(order, OrderEventKind.CANCEL)
        join.execution.reconcile()
        join.settle()
        positions = join.state.mirror.positions
        for phase, quantity in positions.shares_of(PERP).items():
            side = Side.SELL if quantity > 0 else Side.BUY
            assert reducible(positions, [], phase, PERP, side).quantity == abs(quantity)
            if phase:
                assert join.submit(phase, side, abs(quantity), Action.CLOSE)
        join.settle()
        for order in join.execution.working():
            if order.order_role is OrderRole.EXIT:
                join.execution.fill(order, order.remaining_quantity)
        join.execution.send_digest()
        join.settle()
        shares = join.execution.account.positions.shares_of(PERP)
        assert not [phase for phase in shares if phase], "all that a phase holds is closed"
        assert (join.state.reservations.entries, join.state.reservations.exits) == ({}, {})
        assert join.state.mirror.lines() == join.execution.view()
        assert not join.execution.drifts


TestTheJoin = TheJoin.TestCase
TestTheJoin.settings = settings(max_examples=400 if CHAOS else 25, stateful_step_count=60 if CHAOS else 40)


def test_two_trips_of_one_intent_that_end_at_one_time_both_count() -> None:
    """Its stop and its target both fill: what the target opened ends as a trip of the same intent."""
    join = TheJoin()
    join.begin()
    none = (0, 0)
    join.open("scavenger", Side.BUY, _PART, (1, 0))
    join.fill(0, whole=False, protected=True, passed=none)
    join.fill(0, whole=False, protected=False, passed=none)
    join.fill(0, whole=False, protected=False, passed=none)
    join.open("scavenger", Side.BUY, _PART, none)
    join.settle()
    join.fill(0, whole=False, protected=False, passed=none)
    join.settle()
    assert sum(one.trades for one in join.join.state.phases["scavenger"].history.days.days) == 2
    join.teardown()
