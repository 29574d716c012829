"""The order path: from Brain's request to the venue's stream without an await, and with one sync."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from titan.domain.equity import Mark, Marks
from titan.domain.instruments import Instrument
from titan.domain.kinds import OrderState, PositionEffect, Side
from titan.domain.numbers import ZERO
from titan.domain.orders import Order
from titan.domain.policy import mode_problem
from titan.domain.policy_hash import Policy
from titan.domain.position_effect import classify, reducible
from titan.domain.reasons import Reason
from titan.domain.records import BrainTerm, Intake, Refusal
from titan.durable.journal.journal import JournalUnavailable
from titan.execution.account_store import AccountStore
from titan.execution.posture import PostureKeeper
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import execution_pb2
from titan.wire.journal import intake_from_wire

# How many of the last durations are kept, for /status and the benchmark.
RING = 4096

Rejection = tuple[Reason, str]
# Refusals that say nothing about the order: at another moment, or from another Brain, the answer may differ.
_NOT_KEPT = frozenset({Reason.STALE_TERM, Reason.JOURNAL_UNAVAILABLE, Reason.SHUTTING_DOWN})


class AcceptedOrder(msgspec.Struct, frozen=True):
    """An order that is in the journal, and when its request was received (monotonic ns)."""

    order: Order
    position_effect: PositionEffect
    received_ns: int


class OrderIntake:
    """Takes orders from Brain: checks, journals, sends.

    Attributes
    ----------
    closing
        The process is stopping: nothing is taken.
    durations_ns
        The last durations from a request's receipt to its hand-over to the venue's stream, by client order id.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        policy: Policy,
        store: AccountStore,
        sender: Sender,
        posture: PostureKeeper,
        marks: Marks,
        venue_connected: Callable[[], bool],
        reconciled: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self.closing = False
        self.durations_ns: deque[tuple[str, int]] = deque(maxlen=RING)
        self._policy = policy
        self._mode_problem = mode_problem(policy.rules, settings.mode)
        self._store = store
        self._account = store.account
        self._sender = sender
        self._posture = posture
        self._marks = marks
        self._venue_connected = venue_connected
        self._reconciled = reconciled
        self._refusals = metrics.counter("titan_place_refused", "Orders of Brain's not taken.", ["reason"])
        self._repeats = metrics.counter("titan_place_repeated", "Orders asked for again, answered as before.")
        taken = metrics.counter("titan_place_taken", "Orders of Brain's taken.", ["lane"])
        self._taken = {position_effect: taken.labels(position_effect.name) for position_effect in PositionEffect}
        self._duration = metrics.histogram(
            "titan_place_seconds", "From an order's receipt to its hand-over to the venue's stream."
        )

    def see_term(self, term: int) -> bool:
        """Note Brain's term; False when a later Brain has been seen."""
        if term < self._account.brain_term:
            return False
        if term > self._account.brain_term:
            self._store.write(BrainTerm(term))
        return True

    def place(
        self, requests: Iterable[tuple[execution_pb2.PlaceOrder, int]], answer: Callable[[Order | Refusal], None]
    ) -> None:
        """Take a group of orders: all that passes is journalled, synced once, then sent in order.

        Parameters
        ----------
        requests
            Each with the monotonic time of its receipt, in ns.
        answer
            Told at once what was refused, and the first result of what was asked before. What becomes of orders that
            are taken is told by the books' listeners.

        Raises
        ------
        JournalUnavailable
            When the journal failed: nothing of the group was sent, and the process has to end.
        """
        taken = list(self._admit(requests, answer))
        if taken:
            try:
                self._store.sync()
            except JournalUnavailable as error:
                for each in taken:
                    answer(self._refusal(each.order, Reason.JOURNAL_UNAVAILABLE, f"JOURNAL_UNAVAILABLE: {error}"))
                raise
            sent = [(each, *self._send(each)) for each in taken]
            # The venue's stream writes in the loop's next turn: what can wait is done behind it.
            asyncio.get_running_loop().call_soon(self._note, sent)
        else:
            self._store.tell()

    def _send(self, taken: AcceptedOrder) -> tuple[bool, int]:
        """Hand an order to the venue's stream; answer whether it was, and the nanoseconds since its receipt."""
        sent = self._sender.post(taken.order)
        return sent, time.perf_counter_ns() - taken.received_ns

    def _note(self, sent: list[tuple[AcceptedOrder, bool, int]]) -> None:
        """Journal that orders were sent, count, and let everybody hear of them."""
        try:
            for taken, was_sent, duration_ns in sent:
                order_id = taken.order.client_order_id
                self._taken[taken.position_effect].inc()
                self.durations_ns.append((order_id, duration_ns))
                self._duration.observe(duration_ns / 1e9)
                order = self._account.orders[order_id]
                # The venue's word may have been faster.
                if order.state is OrderState.JOURNALLED:
                    why = (Reason.OK, "") if was_sent else (Reason.LEASE_LOST, "LEASE_LOST: not sent")
                    self._sender.note(order, was_sent, *why)
            self._store.tell()
        except Exception as error:
            self._store.on_failed(str(error))
            raise

    def _admit(
        self, requests: Iterable[tuple[execution_pb2.PlaceOrder, int]], answer: Callable[[Order | Refusal], None]
    ) -> Iterator[AcceptedOrder]:
        for request, received_ns in requests:
            first = self._account.first_results.get((request.intent_id, request.attempt))
            if first is not None:
                self._repeats.inc()
                answer(self._account.orders[first] if isinstance(first, str) else first)
                continue
            checked = self._check(request)
            if not isinstance(checked, Intake):
                answer(self._refuse(request, *checked))
                continue
            change = self._store.take(checked, request)
            assert change.order is not None
            yield AcceptedOrder(change.order, checked.position_effect, received_ns)

    def _check(self, request: execution_pb2.PlaceOrder) -> Intake | Rejection:
        if self.closing:
            return Reason.SHUTTING_DOWN, "SHUTTING_DOWN: this Execution is stopping"
        if not self.see_term(request.term):
            return (
                Reason.STALE_TERM,
                f"STALE_TERM: term={request.term}, the highest Brain seen has {self._account.brain_term}",
            )
        try:
            said = intake_from_wire(request)
        except ValueError as error:
            return Reason.INVALID_INTENT, f"INVALID_INTENT: {error}"
        instrument = self._account.instruments.get(said.symbol)
        if instrument is None:
            return Reason.UNKNOWN_SYMBOL, f"UNKNOWN_SYMBOL: {said.symbol!r}"
        position_effect = classify(self._account, said.phase_id, said.symbol, said.side, said.quantity)
        intake = (
            said
            if said.position_effect is position_effect
            else msgspec.structs.replace(said, position_effect=position_effect)
        )
        mark = self._marks.get(said.symbol)
        return (
            (
                self._opening_problem(intake, said.position_effect, mark)
                if position_effect is PositionEffect.OPENING
                else None
            )
            or _size_problem(intake, instrument, mark)
            or self._way_problem()
            or intake
        )

    def _opening_problem(self, intake: Intake, said: PositionEffect, mark: Mark | None) -> Rejection | None:
        """Why an order that opens is not taken. An order that reduces meets none of these."""
        rules = self._policy.rules
        if intake.policy_hash != self._policy.hash:
            return (
                Reason.POLICY_HASH_MISMATCH,
                f"POLICY_HASH_MISMATCH: order={intake.policy_hash or 'none'}, execution={self._policy.hash}",
            )
        brain_hash = self._posture.brain_policy_hash
        if brain_hash and brain_hash != self._policy.hash:
            return (
                Reason.POLICY_HASH_MISMATCH,
                f"POLICY_HASH_MISMATCH: brain={brain_hash}, execution={self._policy.hash}",
            )
        if said is PositionEffect.REDUCING:
            fits = reducible(self._account, intake.phase_id, intake.symbol, intake.side)
            return (
                Reason.NOT_REDUCING,
                f"NOT_REDUCING: side={intake.side.name}, quantity={intake.quantity}, can be reduced={fits}",
            )
        if refused := self._posture.refusal():
            return refused
        if not self._reconciled():
            return Reason.TRUTH_UNKNOWN, "TRUTH_UNKNOWN: reconciliation with the venue is not finished"
        if self._mode_problem:
            return Reason.MODE_NOT_ALLOWED, f"MODE_NOT_ALLOWED: {self._mode_problem}"
        if intake.symbol not in rules.symbols:
            return (
                Reason.SYMBOL_NOT_ALLOWED,
                f"SYMBOL_NOT_ALLOWED: {intake.symbol}, allowed={', '.join(rules.symbols)}",
            )
        if intake.stop_price <= ZERO:
            return Reason.STOP_MISSING, "STOP_MISSING: an opening order needs stop_price"
        return self._price_problem(intake, mark, rules.max_price_age_ms) or self._journal_problem()

    def _price_problem(self, intake: Intake, mark: Mark | None, max_age_ms: int) -> Rejection | None:
        now_ns = self._store.now_ns
        if mark is None:
            return Reason.PRICE_STALE, f"PRICE_STALE: no price of {intake.symbol} yet"
        age_ms = (now_ns - mark.market_time_ns) // 1_000_000
        if age_ms > max_age_ms:
            return Reason.PRICE_STALE, f"PRICE_STALE: max_ms={max_age_ms}, age_ms={age_ms}"
        if (mark.price - intake.stop_price) * intake.side.sign <= ZERO:
            side = "below" if intake.side is Side.BUY else "above"
            return (
                Reason.INVALID_INTENT,
                f"INVALID_INTENT: stop_price={intake.stop_price}, allowed is {side} the price {mark.price}",
            )
        if intake.ttl_ns and now_ns > intake.event_time_ns + intake.ttl_ns:
            late_ms = (now_ns - intake.event_time_ns) // 1_000_000
            return Reason.EXPIRED, f"EXPIRED: ttl_ms={intake.ttl_ns // 1_000_000}, age_ms={late_ms}"
        return None

    def _journal_problem(self) -> Rejection | None:
        # What is reserved is left to what reduces.
        problem = self._store.journal.space_problem
        return (Reason.JOURNAL_UNAVAILABLE, f"JOURNAL_UNAVAILABLE: {problem}") if problem else None

    def _way_problem(self) -> Rejection | None:
        if not self._venue_connected():
            return Reason.VENUE_ERROR, "VENUE_ERROR: no stream to the venue"
        if not self._sender.may_send():
            return Reason.LEASE_LOST, "LEASE_LOST: the lease does not cover the receive window"
        if self._store.journal.failed:
            return Reason.JOURNAL_UNAVAILABLE, f"JOURNAL_UNAVAILABLE: {self._store.journal.failed}"
        return None

    def _refuse(self, request: execution_pb2.PlaceOrder, reason: Reason, message: str) -> Refusal:
        self._refusals.labels(reason.name).inc()
        refusal = Refusal(
            intent_id=request.intent_id,
            phase_id=request.phase_id,
            attempt=request.attempt,
            reason=reason,
            message=message,
        )
        if reason not in _NOT_KEPT:
            self._store.write(refusal)
        return refusal

    def _refusal(self, order: Order, reason: Reason, message: str) -> Refusal:
        self._refusals.labels(reason.name).inc()
        return Refusal(
            intent_id=order.intent_id, phase_id=order.phase_id, attempt=order.attempt, reason=reason, message=message
        )


def _size_problem(intake: Intake, instrument: Instrument, mark: Mark | None) -> Rejection | None:
    limit = intake.limit_price if intake.limit_price > ZERO else None
    refused = instrument.refusal(intake.quantity, limit, mark.price if mark is not None else ZERO)
    if refused is None:
        return None
    reason, message = refused
    # What closes may be below the smallest notional: else it could not close.
    small = reason is Reason.BELOW_MINIMUM and intake.quantity >= instrument.min_quantity
    return (
        None if small and intake.position_effect is PositionEffect.REDUCING else (reason, f"{reason.name}: {message}")
    )
