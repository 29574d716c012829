"""The stream with Brain: orders, cancels, heartbeats and acts come in; the account and its changes go out."""

from __future__ import annotations

import time

import grpc

from titan.domain.account import Account, Change
from titan.domain.enums import OrderState, Posture
from titan.domain.equity import Equity
from titan.domain.journal_records import Refusal
from titan.domain.order_intake import stale_term
from titan.domain.orders import Order
from titan.domain.reasons import Reason, Rejection
from titan.domain.truth import TruthSnapshot
from titan.execution.account_report import AccountReporter
from titan.execution.commit_group import CommitGroup
from titan.execution.events import ExecutionEvents
from titan.execution.intake import OrderIntake
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import Outcome, PostureKeeper
from titan.execution.protector import Protector
from titan.execution.reconciler import Reconciler
from titan.execution.valuation import Valuer
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import ServerStream
from titan.runtime.telemetry.logs import Log
from titan.runtime.watermark import Watermark
from titan.v1 import common_pb2
from titan.v1 import execution_pb2 as pb
from titan.wire import orders as wire
from titan.wire.journal import refusal_to_wire

PlaceStream = ServerStream[pb.PlaceRequest, pb.PlaceResponse]


class BrainSession:
    """Serves ``Execution.Place``, for one Brain at a time: the one that connected last.

    The account is sent once reconciliation has settled. Until then no change is sent either: it would change an account
    that Brain does not have.

    Attributes
    ----------
    markers
        The last step of market time for which Brain has decided everything.
    """

    def __init__(
        self,
        store: JournalledAccount,
        intake: OrderIntake,
        posture: PostureKeeper,
        valuer: Valuer,
        reconciler: Reconciler,
        protector: Protector,
        events: ExecutionEvents,
        policy_hash: str,
        log: Log,
    ) -> None:
        self.markers = Watermark()
        self._store = store
        self._account: Account = store.account
        self._intake = intake
        self._posture = posture
        self._valuer = valuer
        self._reconciler = reconciler
        self._protector = protector
        self._events = events
        self._policy_hash = policy_hash
        self._log = log
        self._reporter = AccountReporter(store, posture, valuer, reconciler, policy_hash)
        # The process that holds the highest term, and the ones that were told that they do not.
        self._brain_id = ""
        self._told_stale: set[str] = set()
        # Orders that Brain sent without an answer, by intent: the next account answers them.
        self._unanswered: tuple[str, ...] = ()
        self._group = CommitGroup(lambda orders: intake.place(orders, self._answer))
        self._stream: PlaceStream | None = None
        self._account_sent = False
        self._last_marker: pb.PlaceResponse | None = None
        self._last_equity: Equity | None = None
        self._flatten_act: int | None = None

    @property
    def connected(self) -> bool:
        """Whether a Brain is connected and has the account."""
        return self._stream is not None and self._account_sent

    async def serve(self, stream: PlaceStream) -> None:
        """Serve one stream, from Brain's hello to its end. A defect in it ends the process."""
        try:
            await self._serve(stream)
        except RpcRefused:
            raise
        except Exception as error:
            # An order path that works in part is none: the successor recovers from the journal.
            self._events.failed(str(error))
            await stream.flush()
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, f"execution ends: {error}") from error

    def send_account(self) -> None:
        """Send a connected Brain the whole account, once nothing is in doubt."""
        if self._stream is None or self._account_sent or not self._reconciler.settled.is_set():
            return
        self._last_equity = self._valuer.value()
        # Changes up to here are in the account; only later ones are sent after it.
        self._store.notify()
        self._account_sent = True
        self._stream.post(pb.PlaceResponse(account=self._reporter.account(self._last_equity, self._unanswered)))
        self._unanswered = ()
        if self._last_marker is not None:
            self._stream.post(self._last_marker)

    def send_account_anew(self) -> None:
        """Replace the account that a connected Brain has."""
        self._account_sent = False
        self.send_account()

    def send_change(self, sequence: int, change: Change) -> None:
        """Send the fill and the order that a record changed, the fill first."""
        if not self.connected:
            return
        if change.fill is not None:
            self._post(pb.PlaceResponse(fill=wire.fill_to_wire(change.fill), sequence=sequence))
        # A journalled order is sent to the venue in the same moment: SENT is reported instead.
        if change.order is not None and change.order.state is not OrderState.JOURNALLED:
            self._post(pb.PlaceResponse(order=wire.order_to_wire(change.order), sequence=sequence))

    def send_marker(self, step: int, market_time_ns: int) -> None:
        """Send that every change of this step has been sent, and now and then a digest of the account after them."""
        if self.connected:
            self._store.notify()
            if (digest := self._reporter.due_digest(market_time_ns)) is not None:
                self._post(pb.PlaceResponse(digest=digest))
        self._last_marker = pb.PlaceResponse(marker=common_pb2.StepMarker(step=step, market_time_ns=market_time_ns))
        self._post(self._last_marker)

    def send_equity(self, equity: Equity) -> None:
        """Send equity, unless it is equal to the last one sent."""
        if self.connected and not _equal_for_brain(equity, self._last_equity):
            self._last_equity = equity
            self._post(pb.PlaceResponse(equity=wire.equity_to_wire(equity)))

    def send_truth(self, truth: TruthSnapshot) -> None:
        """Send the truth snapshot."""
        self._post(pb.PlaceResponse(truth=wire.truth_to_wire(truth)))

    def send_act(self, result: pb.PostureActResult) -> None:
        """Send the result of an act that was not Brain's own: its latch follows Execution's down."""
        self._post(pb.PlaceResponse(act=result))

    def finish_flatten(self) -> None:
        """Answer the act that requested FLATTEN once more, now that it is done."""
        if self._flatten_act is not None:
            result = self.act_result(self._flatten_act, Outcome(True, message="flatten is done"))
            self._post(pb.PlaceResponse(act=result))
            self._flatten_act = None

    def act_result(self, act_id: int, outcome: Outcome) -> pb.PostureActResult:
        """The answer to an act, with counts."""
        return pb.PostureActResult(
            act_id=act_id,
            done=outcome.done,
            reason=int(outcome.reason),  # type: ignore[arg-type]
            message=outcome.message,
            in_force=int(self._posture.in_force),  # type: ignore[arg-type]
            latch=int(self._posture.latch.posture),  # type: ignore[arg-type]
            working_orders=len(self._account.working),
            open_positions=self._account.open_positions,
        )

    def tighten(self, posture: Posture, by: str, reason: str) -> Outcome:
        """Lower the posture, and enforce it at once."""
        outcome = self._posture.tighten(posture, by, reason)
        if self._posture.in_force < Posture.ARMED:
            self._protector.cancel_entries("", Reason.CANCELED_BY_POSTURE, f"{posture.name} by {by}")
        self._store.notify()
        self._events.posture_changed()
        return outcome

    async def _serve(self, stream: PlaceStream) -> None:
        requests = aiter(stream)
        first = await anext(requests, None)
        if first is None:
            return
        if not self._accept(stream, first):
            await stream.flush()
            return
        try:
            async for request in requests:
                # From here to the venue's stream there is no await, unless orders queue for the disk.
                received_ns = time.perf_counter_ns()
                self._posture.note_contact()
                if request.HasField("order"):
                    self._group.add(request.order, received_ns)
                else:
                    self._group.commit()
                    self._receive(request)
                if self._group.failure is not None:
                    raise self._group.failure
            # The stream ended in good order: its last requests are taken and answered.
            self._group.commit()
        finally:
            self._group.drop()
            if self._stream is stream:
                self._stream = None
                self._account_sent = False
                self._log.warning("Brain's stream ended")

    def _accept(self, stream: PlaceStream, first: pb.PlaceRequest) -> bool:
        if not first.HasField("hello"):
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "the first message of Place must be hello")
        hello = first.hello
        if self._is_stale(hello):
            self._refuse_term(stream, hello)
            return False
        self._brain_id = hello.brain_id
        self._unanswered = tuple(hello.unanswered_intent_ids)
        previous, self._stream = self._stream, stream
        if previous is not None:
            previous.close()
        self._account_sent = False
        self._posture.brain_policy_hash = hello.policy_hash
        self._posture.note_contact()
        if hello.policy_hash != self._policy_hash:
            self._log.error("policies differ: nothing opens", brain=hello.policy_hash, execution=self._policy_hash)
        self._log.info("Brain connected", term=hello.term)
        self._told_stale.clear()
        self.send_account()
        return True

    def _is_stale(self, hello: pb.BrainHello) -> bool:
        """Whether another process holds the hello's term, or a higher one."""
        if hello.term == self._account.brain_term:
            return self._brain_id not in ("", hello.brain_id)
        return self._intake.register_term(hello.term) is not None

    def _refuse_term(self, stream: PlaceStream, hello: pb.BrainHello) -> None:
        """Answer a Brain that is not of the highest term; it asks again, and is logged once."""
        highest = self._account.brain_term
        if hello.brain_id not in self._told_stale:
            self._told_stale.add(hello.brain_id)
            self._log.warning("a Brain of a lower term was refused", term=hello.term, highest=highest)
        stale = pb.StaleTerm(highest_term=highest, may_rise=self._posture.brain_absent)
        stream.post(pb.PlaceResponse(stale_term=stale))

    def _receive(self, request: pb.PlaceRequest) -> None:
        kind = request.WhichOneof("message")
        if kind == "marker":
            self.markers.advance(request.marker.step)
        elif kind == "heartbeat":
            if self._intake.register_term(request.heartbeat.term) is None:
                before = self._posture.in_force
                self._posture.receive_heartbeat(request.heartbeat.posture)
                if self._posture.in_force is not before:
                    self._events.posture_changed()
        elif kind == "cancel_entries":
            cancel = request.cancel_entries
            count = self._protector.cancel_entries(cancel.phase_id, Reason.CANCELED_BY_POSTURE, cancel.reason)
            self._log.info("entries canceled for Brain", phase=cancel.phase_id, reason=cancel.reason, count=count)
        elif kind == "act":
            self._act(request.act)
        elif kind == "mirror_drift":
            self._on_mirror_drift(request.mirror_drift)
        self._store.notify()

    def _on_mirror_drift(self, found: pb.MirrorDrift) -> None:
        """Journal both sides of a difference, and send the account anew."""
        self._reconciler.record_drift(self._reporter.mirror_drift(found.sequence, found.lines))
        self._unanswered = tuple(found.unanswered_intent_ids)
        self.send_account_anew()

    def _act(self, act: pb.PostureAct) -> None:
        if not act.posture:
            outcome = Outcome(
                False, Reason.POSTURE, "posture: none given; allowed are ARMED, CLOSE_ONLY, HALTED, FLATTEN"
            )
        elif act.posture > self._posture.latch.posture:
            outcome = self._arm(act)
        else:
            posture = Posture(act.posture)
            outcome = self.tighten(posture, act.by, act.reason)
            if posture is Posture.FLATTEN:
                self._flatten_act = act.act_id
        self._post_now(pb.PlaceResponse(act=self.act_result(act.act_id, outcome)))

    def _arm(self, act: pb.PostureAct) -> Outcome:
        if act.term != self._account.brain_term:
            return Outcome(False, *stale_term(act.term, self._account.brain_term))
        if not self._reconciler.settled.is_set():
            rejection = Rejection.of(Reason.PRECONDITION, "reconciliation with the venue is not finished")
            return Outcome(False, *rejection)
        return self._posture.arm(Posture(act.posture), act.by, act.nonce, act.reason, act.only_if_never_set)

    def _answer(self, result: Order | Refusal) -> None:
        if isinstance(result, Refusal):
            self._post_now(pb.PlaceResponse(refusal=refusal_to_wire(result)))
        else:
            # A repeated request: what was recorded of its order is reported before the order.
            self._store.notify()
            self._post_now(pb.PlaceResponse(order=wire.order_to_wire(result)))

    def _post(self, response: pb.PlaceResponse) -> None:
        if self._account_sent:
            self._post_now(response)

    def _post_now(self, response: pb.PlaceResponse) -> None:
        if self._stream is not None:
            self._stream.post(response)


def _equal_for_brain(equity: Equity, sent: Equity | None) -> bool:
    """Whether nothing by which Brain decides has changed."""
    return sent is not None and (
        (equity.known, equity.equity, equity.confirmed_equity, equity.cash, equity.margin_used)
        == (sent.known, sent.equity, sent.confirmed_equity, sent.cash, sent.margin_used)
        and (equity.high_water_mark, equity.day_start_equity, equity.net_deposits)
        == (sent.high_water_mark, sent.day_start_equity, sent.net_deposits)
    )
