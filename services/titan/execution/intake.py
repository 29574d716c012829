"""The order path: from Brain's request to the venue's stream without an await, and with one sync."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from titan.domain.enums import OrderState, PositionEffect
from titan.domain.journal_records import BrainTerm, Intake, Refusal
from titan.domain.order_intake import IntakeState, OrderIntakeRules, first_result, is_kept, stale_term
from titan.domain.orders import Order
from titan.domain.reasons import Reason, Rejection
from titan.durable.journal.journal import JournalUnavailable
from titan.execution.events import ExecutionEvents
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.reconciler import Reconciler
from titan.execution.sender import Sender
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import execution_pb2
from titan.venues.base import Venue
from titan.wire.journal import intake_from_wire

# Number of durations that are kept, for /status and the benchmark.
RING = 4096

Answer = Callable[[Order | Refusal], None]


class AcceptedOrder(msgspec.Struct, frozen=True):
    """An order that is in the journal, and when its request was received (monotonic ns)."""

    order: Order
    position_effect: PositionEffect
    received_ns: int


class OrderIntake:
    """Takes orders from Brain: decodes, applies the rules, journals, sends.

    Attributes
    ----------
    closing
        The process is stopping: every order is refused.
    durations_ns
        The last durations from a request's receipt to its hand-over to the venue's stream, by client order id.
    """

    def __init__(
        self,
        rules: OrderIntakeRules,
        store: JournalledAccount,
        sender: Sender,
        posture: PostureKeeper,
        venue: Venue,
        reconciler: Reconciler,
        events: ExecutionEvents,
        metrics: Metrics,
    ) -> None:
        self.closing = False
        self.durations_ns: deque[tuple[str, int]] = deque(maxlen=RING)
        self._rules = rules
        self._store = store
        self._account = store.account
        self._sender = sender
        self._posture = posture
        self._venue = venue
        self._reconciler = reconciler
        self._events = events
        self._refusals = metrics.counter("titan_place_refused", "Orders of Brain's not taken.", ["reason"])
        self._repeats = metrics.counter("titan_place_repeated", "Orders asked for again, answered as before.")
        accepted = metrics.counter("titan_place_taken", "Orders of Brain's taken.", ["lane"])
        self._accepted = {position_effect: accepted.labels(position_effect.name) for position_effect in PositionEffect}
        self._duration = metrics.histogram(
            "titan_place_seconds", "From an order's receipt to its hand-over to the venue's stream."
        )

    def register_term(self, term: int) -> Rejection | None:
        """Note Brain's term; reject it when a Brain of a higher term has been seen."""
        highest = self._account.brain_term
        if term < highest:
            return stale_term(term, highest)
        if term > highest:
            self._store.write(BrainTerm(term))
        return None

    def place(self, requests: Sequence[tuple[execution_pb2.PlaceOrder, int]], answer: Answer) -> None:
        """Take a group of orders: the accepted ones are journalled, synced once, then sent in order.

        Parameters
        ----------
        requests
            Each with the monotonic time of its receipt, in ns.
        answer
            Called at once with each refusal, and with the first result of a repeated request. Later changes of accepted
            orders go to ``events.recorded``.

        Raises
        ------
        JournalUnavailable
            When the journal failed: nothing of the group was sent, and the process has to end.
        """
        accepted = list(self._accept(requests, answer))
        if accepted:
            try:
                # The record of the sending follows.
                self._store.sync(mark=False)
            except JournalUnavailable as error:
                rejection = Rejection.of(Reason.JOURNAL_UNAVAILABLE, str(error))
                for each in accepted:
                    order = each.order
                    answer(self._refusal(order.intent_id, order.phase_id, order.attempt, rejection))
                raise
            sent = [(each, *self._send(each)) for each in accepted]
            # The venue's stream writes in the loop's next turn: the rest of the work is done behind it.
            asyncio.get_running_loop().call_soon(self._record, sent)
        else:
            self._store.notify()

    def _send(self, accepted: AcceptedOrder) -> tuple[bool, int]:
        """Hand an order to the venue's stream; return whether it was sent, and the nanoseconds since its receipt."""
        sent = self._sender.send(accepted.order)
        return sent, time.perf_counter_ns() - accepted.received_ns

    def _record(self, sent: list[tuple[AcceptedOrder, bool, int]]) -> None:
        """Journal that orders were sent, count them, and notify the listeners."""
        try:
            for accepted, was_sent, duration_ns in sent:
                order_id = accepted.order.client_order_id
                self._accepted[accepted.position_effect].inc()
                self.durations_ns.append((order_id, duration_ns))
                self._duration.observe(duration_ns / 1e9)
                order = self._account.orders[order_id]
                # The venue's report may have been faster.
                if order.state is OrderState.JOURNALLED:
                    result = (Reason.OK, "") if was_sent else Rejection.of(Reason.LEASE_LOST, "not sent")
                    self._sender.record_send(order, was_sent, *result)
            self._store.notify()
        except Exception as error:
            self._events.failed(str(error))
            raise

    def _accept(
        self, requests: Sequence[tuple[execution_pb2.PlaceOrder, int]], answer: Answer
    ) -> Iterator[AcceptedOrder]:
        for request, received_ns in requests:
            first = first_result(self._account, request.intent_id, request.attempt)
            if first is not None:
                self._repeats.inc()
                answer(first)
                continue
            checked = self._check(request)
            if isinstance(checked, Rejection):
                answer(self._refuse(request, checked))
                continue
            change = self._store.write_intake(checked, request, alone=len(requests) == 1)
            assert change.order is not None
            yield AcceptedOrder(change.order, checked.position_effect, received_ns)

    def _check(self, request: execution_pb2.PlaceOrder) -> Intake | Rejection:
        if self.closing:
            # An Execution that stops because its journal failed names the cause, not the stop.
            if problem := self._store.journal.failed:
                return Rejection.of(Reason.JOURNAL_UNAVAILABLE, problem)
            return Rejection.of(Reason.SHUTTING_DOWN, "this Execution is stopping")
        if (rejection := self.register_term(request.term)) is not None:
            return rejection
        try:
            requested = intake_from_wire(request)
        except ValueError as error:
            return Rejection.of(Reason.INVALID_INTENT, str(error))
        return self._rules.check(requested, self._state())

    def _state(self) -> IntakeState:
        journal = self._store.journal
        return IntakeState(
            now_ns=self._store.now_ns,
            posture=self._posture.inputs,
            brain_policy_hash=self._posture.brain_policy_hash,
            reconciled=self._reconciler.clean,
            venue_connected=self._venue.connected,
            lease_covers=self._sender.may_send(),
            journal_problem=journal.failed,
            space_problem=journal.space_problem,
        )

    def _refuse(self, request: execution_pb2.PlaceOrder, rejection: Rejection) -> Refusal:
        refusal = self._refusal(request.intent_id, request.phase_id, request.attempt, rejection)
        if is_kept(rejection.reason):
            self._store.write(refusal)
        return refusal

    def _refusal(self, intent_id: str, phase_id: str, attempt: int, rejection: Rejection) -> Refusal:
        self._refusals.labels(rejection.reason.name).inc()
        return Refusal(
            intent_id=intent_id,
            phase_id=phase_id,
            attempt=attempt,
            reason=rejection.reason,
            message=rejection.message,
        )
