"""The stream with Brain: orders, cancels, heartbeats and acts come in; the account and what changes in it go out."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from titan.domain.account import Account, Change
from titan.domain.equity import Equity
from titan.domain.kinds import OrderState, Posture
from titan.domain.orders import Order
from titan.domain.reasons import Reason
from titan.domain.records import Record, Refusal
from titan.domain.time import utc_day
from titan.domain.truth import TruthSnapshot
from titan.execution.account_store import AccountStore
from titan.execution.commit_group import CommitGroup
from titan.execution.intake import OrderIntake
from titan.execution.posture import Outcome, PostureKeeper
from titan.execution.reconciler import Reconciler
from titan.execution.valuation import Valuer
from titan.execution.venue_updates import VenueUpdates
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import ServerStream
from titan.runtime.telemetry.logs import Log
from titan.runtime.watermark import Watermark
from titan.v1 import common_pb2
from titan.v1 import execution_pb2 as pb
from titan.wire import orders as wire
from titan.wire.journal import refusal_to_wire

# What Brain rebuilds win rates and loss streaks from.
ROUND_TRIPS_SENT = 500

PlaceStream = ServerStream[pb.PlaceRequest, pb.PlaceResponse]


class BrainSession:
    """Serves ``Execution.Place``, for one Brain at a time: the one that connected last.

    The account is told once reconciliation has settled; until then nothing else is told either, since it would speak
    of a picture that Brain does not have.

    Attributes
    ----------
    markers
        How far Brain has decided.
    """

    def __init__(
        self,
        store: AccountStore,
        intake: OrderIntake,
        posture: PostureKeeper,
        valuer: Valuer,
        reconciler: Reconciler,
        desk: VenueUpdates,
        policy_hash: str,
        log: Log,
    ) -> None:
        self.markers = Watermark()
        self.on_posture: Callable[[], None] = lambda: None
        self._store = store
        self._account: Account = store.account
        self._intake = intake
        self._posture = posture
        self._valuer = valuer
        self._reconciler = reconciler
        self._desk = desk
        self._policy_hash = policy_hash
        self._log = log
        self._group = CommitGroup(lambda orders: intake.place(orders, self._answer))
        self._stream: PlaceStream | None = None
        self._told = False
        self._last_marker: pb.PlaceResponse | None = None
        self._flatten_act: int | None = None
        self._told_equity: Equity | None = None
        store.listeners.append(self._hear)

    @property
    def connected(self) -> bool:
        """Whether a Brain is connected and has been told the account."""
        return self._stream is not None and self._told

    async def serve(self, stream: PlaceStream) -> None:
        """One stream, from Brain's hello to its end."""
        requests = aiter(stream)
        first = await anext(requests, None)
        if first is None:
            return
        self._welcome(stream, first)
        try:
            async for request in requests:
                # From here to the venue's stream there is no await, unless orders queue for the disk.
                received_ns = time.perf_counter_ns()
                self._posture.heard()
                if request.HasField("order"):
                    self._group.take(request.order, received_ns)
                else:
                    self._group.commit()
                    self._take(request)
                if self._group.failure is not None:
                    raise self._group.failure
            # Ended in good order: what it asked for last is taken and answered.
            self._group.commit()
        finally:
            self._group.drop()
            if self._stream is stream:
                self._stream = None
                self._told = False
                self._posture.brain_lost()
                self._log.warning("Brain's stream ended")

    def tell_account(self) -> None:
        """Tell a connected Brain the whole account, once nothing is in doubt."""
        if self._stream is None or self._told or not self._reconciler.settled.is_set():
            return
        self._told = True
        self._store.tell()
        self._stream.post(pb.PlaceResponse(account=self._account_message()))
        if self._last_marker is not None:
            self._stream.post(self._last_marker)

    def mark(self, step: int, market_time_ns: int) -> None:
        """Say that everything of this step has been told."""
        self._last_marker = pb.PlaceResponse(marker=common_pb2.StepMarker(step=step, market_time_ns=market_time_ns))
        self._post(self._last_marker)

    def tell_equity(self, equity: Equity) -> None:
        """Tell equity, if it is another than was told last."""
        if self.connected and not _same(equity, self._told_equity):
            self._told_equity = equity
            self._post(pb.PlaceResponse(equity=wire.equity_to_wire(equity)))

    def tell_truth(self, truth: TruthSnapshot) -> None:
        """Tell the truth snapshot."""
        self._post(pb.PlaceResponse(truth=wire.truth_to_wire(truth)))

    def tell_act(self, result: pb.PostureActResult) -> None:
        """Tell Brain of an act that was not its own: its latch follows ours down."""
        self._post(pb.PlaceResponse(act=result))

    def flatten_finished(self) -> None:
        """Answer the act that asked for FLATTEN again, now that it is done."""
        if self._flatten_act is not None:
            self._post(
                pb.PlaceResponse(act=self.act_result(self._flatten_act, Outcome(True, message="flatten is done")))
            )
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
            open_positions=sum(holding.quantity != 0 for holding in self._account.holdings.values()),
        )

    def tighten(self, posture: Posture, by: str, reason: str) -> Outcome:
        """Lower the posture, and do at once what follows from it."""
        outcome = self._posture.tighten(posture, by, reason)
        if self._posture.in_force < Posture.ARMED:
            self._desk.cancel_entries("", Reason.CANCELED_BY_POSTURE, f"{posture.name} by {by}")
        self._store.tell()
        self.on_posture()
        return outcome

    def _welcome(self, stream: PlaceStream, first: pb.PlaceRequest) -> None:
        if not first.HasField("hello"):
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "the first message of Place must be hello")
        hello = first.hello
        if not self._intake.see_term(hello.term):
            message = f"STALE_TERM: term={hello.term}, the highest Brain seen has {self._account.brain_term}"
            self._log.warning("a Brain of a lower term was refused", term=hello.term, highest=self._account.brain_term)
            raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, message)
        previous, self._stream = self._stream, stream
        if previous is not None:
            previous.close()
        self._told = False
        self._posture.brain_connected = True
        self._posture.brain_policy_hash = hello.policy_hash
        self._posture.heard()
        if hello.policy_hash != self._policy_hash:
            self._log.error("policies differ: nothing opens", brain=hello.policy_hash, execution=self._policy_hash)
        self._log.info("Brain connected", term=hello.term)
        self.tell_account()

    def _take(self, request: pb.PlaceRequest) -> None:
        kind = request.WhichOneof("message")
        if kind == "marker":
            self.markers.advance(request.marker.step)
        elif kind == "heartbeat":
            if self._intake.see_term(request.heartbeat.term):
                before = self._posture.in_force
                self._posture.heartbeat(request.heartbeat.posture)
                if self._posture.in_force is not before:
                    self.on_posture()
        elif kind == "cancel_entries":
            cancel = request.cancel_entries
            count = self._desk.cancel_entries(cancel.phase_id, Reason.CANCELED_BY_POSTURE, cancel.reason)
            self._log.info("entries canceled for Brain", phase=cancel.phase_id, reason=cancel.reason, count=count)
        elif kind == "act":
            self._act(request.act)
        self._store.tell()

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
            message = f"STALE_TERM: term={act.term}, the highest Brain seen has {self._account.brain_term}"
            return Outcome(False, Reason.STALE_TERM, message)
        if not self._reconciler.settled.is_set():
            return Outcome(False, Reason.PRECONDITION, "PRECONDITION: reconciliation with the venue is not finished")
        return self._posture.arm(Posture(act.posture), act.by, act.nonce, act.reason, act.only_if_never_set)

    def _answer(self, result: Order | Refusal) -> None:
        if isinstance(result, Refusal):
            self._post_now(pb.PlaceResponse(refusal=refusal_to_wire(result)))
        else:
            self._post_now(pb.PlaceResponse(order=wire.order_to_wire(result)))

    def _hear(self, _sequence: int, _record: Record, change: Change) -> None:
        if not self.connected:
            return
        if change.fill is not None:
            self._post(pb.PlaceResponse(fill=wire.fill_to_wire(change.fill)))
        # What is journalled is sent in the same moment: that is told.
        if change.order is not None and change.order.state is not OrderState.JOURNALLED:
            self._post(pb.PlaceResponse(order=wire.order_to_wire(change.order)))

    def _post(self, response: pb.PlaceResponse) -> None:
        if self._told:
            self._post_now(response)

    def _post_now(self, response: pb.PlaceResponse) -> None:
        if self._stream is not None:
            self._stream.post(response)

    def _account_message(self) -> pb.AccountState:
        today = utc_day(self._store.now_ns)
        truth = self._reconciler.truth
        self._told_equity = self._valuer.value()
        return pb.AccountState(
            working=[wire.order_to_wire(order) for order in self._account.working.values()],
            positions=[wire.position_to_wire(position) for position in self._valuer.positions()],
            equity=wire.equity_to_wire(self._told_equity),
            truth=wire.truth_to_wire(truth),
            posture=self._posture.state(self._policy_hash, self._store.term),
            policy_hash=self._policy_hash,
            term=self._store.term,
            reconciled=self._reconciler.settled.is_set(),
            round_trips=[wire.round_trip_to_wire(trip) for trip in self._account.round_trips[-ROUND_TRIPS_SENT:]],
            recent_intent_ids=self._account.opened.get(today, []),
        )


def _same(equity: Equity, told: Equity | None) -> bool:
    """Whether nothing that Brain decides by has changed."""
    return told is not None and (
        (equity.known, equity.equity, equity.cash, equity.margin_used, equity.high_water_mark)
        == (told.known, told.equity, told.cash, told.margin_used, told.high_water_mark)
    )
