"""Execution's core with the test as its venue: the account, the reporter, the protection plan."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec

from support.risk.scene import HASH, NOW, SECOND
from support.risk.scene import equity as equity_of
from titan.domain import orders as machine
from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderState, PositionEffect
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Fact, Record, Refusal
from titan.domain.marks import Marks
from titan.domain.mirror_digest import mirror_lines, reported_orders
from titan.domain.order_intake import first_result
from titan.domain.orders import Fill, Order, OrderEvent, OrderEventKind
from titan.domain.position_effect import reducible_in
from titan.domain.protection import Amend, InFlight, Place, flatten_lot, open_lots, plan_protection
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot
from titan.domain.venue import VenueAccount, VenuePosition
from titan.domain.venue_comparison import adoptions, compare, next_exit
from titan.execution.account_report import AccountReporter
from titan.execution.valuation import Valuer
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire.journal import intake_from_wire, refusal_to_wire
from titan.wire.orders import fill_to_wire, order_to_wire

PRICE = Decimal(60_000)


class _Store:
    """The journalled account, as the reporter reads it."""

    term = 1

    def __init__(self, execution: ExecutionSide) -> None:
        self._execution = execution
        self.account = execution.account
        self.journal = self

    @property
    def now_ns(self) -> int:
        return self._execution.now_ns

    @property
    def last_sequence(self) -> int:
        return self._execution.sequence


class ExecutionSide:
    """The core; ``to_brain`` holds its messages on their way.

    Attributes
    ----------
    serving
        Whether a stream is served: from the hello on.
    now_ns
        The market clock, of Brain as well.
    drifts
        Differences that Brain found.
    """

    def __init__(self) -> None:
        self.to_brain: deque[bytes] = deque()
        self.drifts: list[e.MirrorDrift] = []
        self.now_ns = NOW
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

    def receive(self, request: e.PlaceRequest) -> None:
        """Take a message of Brain."""
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

    def view(self) -> list[str]:
        """What the digest is made of."""
        return mirror_lines(self.account.positions, reported_orders(self.account.working.values()))
