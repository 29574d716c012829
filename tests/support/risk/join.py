"""Brain's and Execution's cores joined by two queues of messages that a test may cut anywhere.

Brain's side is the client, the listener and the risk state of its process, on a link of memory. Execution's side is the
account, the reporter and the protection plan; the venue's answers are the test's.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec

from support.risk.scene import HASH, NOW, PERP, SECOND, intent, risk_state
from support.risk.scene import equity as equity_of
from titan.brain import execution_client
from titan.brain.execution_client import ExecutionClient
from titan.brain.execution_updates import ExecutionUpdates
from titan.brain.phase_sessions import PhaseSessions
from titan.domain import orders as machine
from titan.domain.account import Account
from titan.domain.enums import Action, OrderRole, OrderState, PositionEffect, Posture, Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Fact, Record, Refusal
from titan.domain.marks import Marks
from titan.domain.mirror_digest import mirror_lines, reported_orders
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.order_intake import first_result
from titan.domain.orders import Fill, Order, OrderEvent, OrderEventKind
from titan.domain.position_effect import reducible, reducible_in
from titan.domain.protection import Amend, InFlight, Place, flatten_lot, open_lots, plan_protection
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot
from titan.domain.venue import VenueAccount, VenuePosition
from titan.domain.venue_comparison import adoptions, compare, next_exit
from titan.execution.account_report import AccountReporter
from titan.execution.valuation import Valuer
from titan.risk.controller import RiskController
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine, reserve
from titan.risk.state_updater import StateUpdater
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire.fields import enum_number, optional_decimal
from titan.wire.journal import intake_from_wire, refusal_to_wire
from titan.wire.orders import fill_to_wire, order_to_wire

PHASES = ("scavenger", "hunter")
PRICE = Decimal(60_000)


class _Silent:
    """A log, and a listener of the risk controller, that drops everything."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_fields: None


class _Link:
    """The client's end of the stream."""

    def __init__(self, join: Join) -> None:
        self._join = join

    def post(self, message: e.PlaceRequest) -> bool:
        if self._join.up:
            self._join.to_execution.append(message.SerializeToString())
        return self._join.up


class _Store:
    """The journalled account, as the reporter reads it."""

    term = 1

    def __init__(self, join: Join) -> None:
        self._join = join
        self.account = join.account
        self.journal = self

    @property
    def now_ns(self) -> int:
        return self._join.now_ns

    @property
    def last_sequence(self) -> int:
        return self._join.sequence


class Join:
    """Both cores; ``to_execution`` and ``to_brain`` hold the messages on their way.

    Attributes
    ----------
    up
        Whether the stream exists. Execution serves it from the hello on.
    drifts
        Differences that Brain found.
    """

    def __init__(self) -> None:
        self.up = False
        self.to_execution: deque[bytes] = deque()
        self.to_brain: deque[bytes] = deque()
        self.drifts: list[e.MirrorDrift] = []
        self.now_ns = NOW
        self.intents = 0
        self._begin_brain()
        self._begin_execution()

    # Brain.

    def _begin_brain(self) -> None:
        self.state = risk_state()
        updater = StateUpdater(self.state)
        latch: Any = SimpleNamespace(posture=Posture.ARMED, never_set=False, by="", reason="")
        controller = RiskController(self.state, latch, Posture.ARMED, 1, _Silent())
        log: Any = _Silent()
        with mock.patch.object(execution_client, "RpcChannel"), mock.patch.object(execution_client, "Link"):
            settings: Any = None
            self.client = ExecutionClient(settings, 1, lambda _term: None, HASH, self._failed, log)
        self.client._link = _Link(self)  # type: ignore[assignment]
        self.client._listener = ExecutionUpdates(
            self.client,
            updater,
            controller,
            IntentDecisions(RiskEngine(self.state.limits, 1), self.state, lambda _state: None),
            PhaseSessions(PHASES),
            latch,
            lambda: self.now_ns,
            Metrics(),
            log,
        )

    def _failed(self, reason: str) -> None:
        raise AssertionError(reason)

    def restart_brain(self) -> None:
        """Kill Brain: all that it has is what Execution tells it."""
        self.cut()
        self._begin_brain()

    def submit(self, phase_id: str, side: Side, quantity: Decimal, action: Action) -> str:
        """Decide on an intent as the guards would that read positions, and place it; empty where they refuse."""
        mirror = self.state.mirror
        exits = mirror.reservations.exits.values()
        effect = reducible(mirror.positions, exits, phase_id, PERP, side).effect(quantity)
        symbol = self.state.symbols[PERP]
        others = [
            held
            for by_phase in (symbol.shares, symbol.entries)
            for phase, held in by_phase.items()
            if phase != phase_id
        ]
        if action is Action.CLOSE and effect is PositionEffect.OPENING:
            return ""
        if effect is PositionEffect.OPENING and any((held > 0) != (side is Side.BUY) for held in others if held):
            return ""
        self.intents += 1
        intent_id = f"intent-{self.intents:04d}"
        opens = effect is PositionEffect.OPENING
        stop, target = (PRICE - side.sign * 1_000, PRICE + side.sign * 2_000) if opens else (ZERO, ZERO)
        requested = intent(
            intent_id=intent_id,
            phase_id=phase_id,
            side=side,
            action=action,
            event_time_ns=self.now_ns,
            ttl_ns=0,
            stop_price=stop,
            target_price=target,
        )
        engine = RiskEngine(self.state.limits, 1)
        decision = msgspec.structs.replace(
            engine.invalid(requested, "", self.now_ns),
            approved=True,
            reason=Reason.OK,
            position_effect=effect,
            quantity=quantity,
            reference_price=PRICE,
        )
        self.client.place(
            e.PlaceOrder(
                intent_id=intent_id,
                phase_id=phase_id,
                attempt=1,
                position_effect=enum_number(effect),
                symbol=PERP,
                side=enum_number(side),
                order_type=c.ORDER_TYPE_MARKET,
                time_in_force=c.TIME_IN_FORCE_IOC,
                quantity=format_decimal(quantity),
                stop_price=optional_decimal(stop),
                target_price=optional_decimal(target),
                policy_hash=HASH,
                term=1,
                event_time_ns=self.now_ns,
                decision=b.Decision(setup="breakout"),
            )
        )
        reserve(self.state, requested, decision)
        self.state.refresh()
        return intent_id

    # Execution.

    def _begin_execution(self) -> None:
        self.account = Account(PAPER_INSTRUMENTS)
        self.sequence = 0
        self.flight = InFlight()
        self.serving = False
        self.trades = 0
        store: Any = _Store(self)
        valuer = Valuer(SimpleNamespace(mark_max_age_ms=1_000), store, Marks(), Decimal(10))  # type: ignore[arg-type]
        posture: Any = SimpleNamespace(to_wire=lambda: b.PostureState(latch=c.POSTURE_ARMED))
        settled: Any = SimpleNamespace(
            truth=TruthSnapshot(known=True, score=100), settled=SimpleNamespace(is_set=lambda: True)
        )
        self.reporter = AccountReporter(store, posture, valuer, settled, HASH)

    def write(self, fact: Fact) -> Any:
        """Journal a fact and report what it changed, as Execution's session does."""
        self.sequence += 1
        change = self.account.apply(Record(fact, self.now_ns))
        if self.serving:
            if change.fill is not None:
                self._down(fill=fill_to_wire(change.fill), sequence=self.sequence)
            if change.order is not None and change.order.state is not OrderState.JOURNALLED:
                self._down(order=order_to_wire(change.order), sequence=self.sequence)
        return change

    def _down(self, **message: Any) -> None:
        self.to_brain.append(e.PlaceResponse(**message).SerializeToString())

    def send_account(self, unanswered: tuple[str, ...] = ()) -> None:
        """Send the whole account."""
        self.serving = True
        equity = msgspec.structs.replace(equity_of("100000"), day_start_equity=Decimal(100_000))
        self._down(account=self.reporter.account(equity, unanswered))

    def send_digest(self) -> None:
        """Let a second pass, and send the digest of what has been reported."""
        self.now_ns += SECOND
        if self.serving and (found := self.reporter.due_digest(self.now_ns)) is not None:
            self._down(digest=found)

    def _on_request(self, request: e.PlaceRequest) -> None:
        kind = request.WhichOneof("message")
        if kind == "hello":
            self.send_account(tuple(request.hello.unanswered_intent_ids))
        elif kind == "mirror_drift":
            self.drifts.append(request.mirror_drift)
            self.send_account(tuple(request.mirror_drift.unanswered_intent_ids))
        elif kind == "order":
            self._take(request.order)

    def _take(self, request: e.PlaceOrder) -> None:
        first = first_result(self.account, request.intent_id, request.attempt)
        if first is not None:
            self._answer(first)
            return
        requested = intake_from_wire(request)
        fits = reducible_in(self.account, requested.phase_id, requested.symbol, requested.side)
        effect = fits.effect(requested.quantity)
        if effect is PositionEffect.OPENING and requested.position_effect is PositionEffect.REDUCING:
            refusal = Refusal(
                intent_id=requested.intent_id,
                phase_id=requested.phase_id,
                attempt=1,
                reason=Reason.NOT_REDUCING,
                message="",
            )
            self.write(refusal)
            self._answer(refusal)
            return
        order = self.write(msgspec.structs.replace(requested, position_effect=effect)).order
        self.happen(order, OrderEventKind.SEND)

    def _answer(self, result: Order | Refusal) -> None:
        if not self.serving:
            return
        if isinstance(result, Refusal):
            self._down(refusal=refusal_to_wire(result))
        else:
            self._down(order=order_to_wire(result))

    def protect(self) -> None:
        """Send the stops and targets that the account needs, and let the venue amend as requested."""
        for step in plan_protection(self.account, self.flight, self.now_ns, 1):
            if isinstance(step, Place):
                self._place(step.order)
            elif isinstance(step, Amend):
                self.happen(self.account.orders[step.order.client_order_id], OrderEventKind.AMEND, step.quantity)

    def flatten(self) -> None:
        """Close the oldest lot at market."""
        for lot in open_lots(self.account):
            if (step := flatten_lot(self.account, lot, self.now_ns, 1)) is not None:
                self._place(step.order)
            return

    def _place(self, order: Order) -> None:
        journalled = machine.apply(order, OrderEvent(kind=OrderEventKind.JOURNAL, market_time_ns=self.now_ns))
        self.write(journalled)
        self.happen(journalled, OrderEventKind.SEND)

    # The venue.

    def working(self) -> list[Order]:
        """Orders that the venue may still answer."""
        return list(self.account.working.values())

    def happen(self, order: Order, kind: OrderEventKind, quantity: Decimal = Decimal(0)) -> Order:
        """Let something other than a fill happen to an order."""
        after = machine.apply(order, OrderEvent(kind=kind, market_time_ns=self.now_ns, quantity=quantity))
        self.write(after)
        if after.final:
            self.flight.forget(after.client_order_id)
        return after

    def fill(self, order: Order, quantity: Decimal) -> None:
        """Let the venue execute a part of an order, or the rest."""
        self.trades += 1
        self.write(
            Fill(
                trade_id=str(self.trades),
                client_order_id=order.client_order_id,
                intent_id=order.intent_id,
                phase_id=order.phase_id,
                order_role=order.order_role,
                symbol=order.symbol,
                side=order.side,
                quantity=quantity,
                price=order.trigger_price or PRICE,
                fee=Decimal("0.01"),
                fee_currency="USDT",
                maker=False,
                event_time_ns=self.now_ns,
                policy_hash=HASH,
                venue_sequence=self.trades,
            )
        )

    def lose(self, order: Order) -> None:
        """Prove an exit lost, and send it again where there is still something to reduce."""
        doubted = order if order.state is OrderState.UNKNOWN else self.happen(order, OrderEventKind.DOUBT)
        lost = self.happen(doubted, OrderEventKind.LOSE)
        if lost.order_role is OrderRole.EXIT and (again := next_exit(self.account, lost, self.now_ns)) is not None:
            self._place(again)

    def reconcile(self) -> int:
        """Run a pass against a venue that holds our net; return the number of adoptions."""
        held = tuple(
            VenuePosition(symbol=symbol, quantity=one.quantity, average_entry_price=one.average_entry_price)
            for symbol, one in self.account.holdings.items()
            if one.quantity
        )
        venue = VenueAccount(
            balances=dict(self.account.ledger.assets()),
            positions=held,
            deposits=Decimal(0),
            market_time_ns=self.now_ns,
            wall_time_ns=self.now_ns,
            last_trade_sequence=self.trades,
        )
        adopted = adoptions(compare(self.account, venue, ()).drifts, venue, self.account)
        for adoption in adopted:
            self.write(adoption)
        if adopted and self.serving:
            self.send_account()
        return len(adopted)

    # The stream between both.

    def connect(self) -> None:
        """Open a stream: the hello goes first."""
        if not self.up:
            self.up = True
            self.to_execution.extend(message.SerializeToString() for message in self.client._hello())

    def cut(self) -> None:
        """Lose every message on its way, in both directions."""
        self.to_execution.clear()
        self.to_brain.clear()
        self.serving = False
        if self.up:
            self.up = False
            self.client._lost("cut")

    def deliver_up(self) -> None:
        """Deliver the next message to Execution."""
        if self.to_execution:
            self._on_request(e.PlaceRequest.FromString(self.to_execution.popleft()))

    def deliver_down(self) -> None:
        """Deliver the next message to Brain."""
        if self.to_brain:
            self.client._receive(e.PlaceResponse.FromString(self.to_brain.popleft()))

    def settle(self) -> None:
        """Connect, and deliver until nothing is on its way."""
        self.connect()
        while self.to_execution or self.to_brain:
            self.deliver_up()
            self.deliver_down()

    def executions_view(self) -> list[str]:
        """What the digest is made of, at Execution."""
        return mirror_lines(self.account.positions, reported_orders(self.account.working.values()))
