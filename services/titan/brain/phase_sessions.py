"""Brain's side of its streams with phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import grpc

from titan.domain.positions import Position
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import ServerStream
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.watermark import Watermark
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.wire.orders import position_to_wire

PhaseStream = ServerStream[b.SubmitRequest, b.SubmitResponse]


class PhaseSession:
    """One planned phase: its stream, if it is there, and how far it has come."""

    def __init__(self, phase_id: str) -> None:
        self.phase_id = phase_id
        self.marker = Watermark()
        self.stream: PhaseStream | None = None
        self.policy_hash = ""
        self.intents = 0
        self.approved = 0

    def post(self, message: b.SubmitResponse) -> None:
        """Send to the phase, if it is there."""
        if self.stream is not None:
            self.stream.post(message)


class Decides(Protocol):
    """Who answers intents. ``received_ns`` on the monotonic clock."""

    def __call__(self, message: b.Intent, seat: PhaseSession, received_ns: int) -> None:
        """Decide on an intent that ``seat`` has sent."""


class PhaseSessions:
    """Admits the planned phases and passes on what they say, in order.

    ``on_hello`` sends a phase what it must know first; ``on_gone`` is told when its stream has ended.
    """

    def __init__(
        self,
        phases: Iterable[str],
        decide: Decides,
        on_hello: Callable[[PhaseSession], None],
        on_gone: Callable[[PhaseSession], None],
        on_defect: Callable[[str], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.seats = {phase: PhaseSession(phase) for phase in phases}
        self._decide = decide
        self._on_hello = on_hello
        self._on_gone = on_gone
        self._on_defect = on_defect
        self._log = log
        self._own_marker: c.StepMarker | None = None
        self._refused = metrics.counter("titan_brain_phases_refused", "Streams of phases refused, by cause.", ["cause"])

    async def serve(self, stream: PhaseStream) -> None:
        """Handle one stream until it ends.

        Raises
        ------
        RpcRefused
            When the phase is not planned, or is not who its certificate says.
        """
        seat: PhaseSession | None = None
        try:
            async for request in stream:
                received_ns = time.monotonic_ns()
                kind = request.WhichOneof("message")
                if seat is None:
                    seat = self._admit(stream, request)
                elif kind == "intent":
                    self._guarded(self._decide, request.intent, seat, received_ns)
                elif kind == "marker":
                    seat.marker.advance(request.marker.step)
                else:
                    raise self._refusal(
                        "order", f"{kind or 'an empty message'} after the hello; intents and markers are"
                    )
        finally:
            if seat is not None and seat.stream is stream:
                seat.stream = None
                self._log.warning("phase gone", phase_id=seat.phase_id)
                self._on_gone(seat)

    def mark(self, step: int, market_time_ns: int) -> None:
        """Tell every phase that all of this step has been posted."""
        self._own_marker = c.StepMarker(step=step, market_time_ns=market_time_ns)
        for seat in self.seats.values():
            seat.post(b.SubmitResponse(marker=self._own_marker))

    def post_all(self, message: b.SubmitResponse) -> None:
        """Send to every phase that is there."""
        for seat in self.seats.values():
            seat.post(message)

    def _admit(self, stream: PhaseStream, request: b.SubmitRequest) -> PhaseSession:
        role = stream.peer.role
        if request.WhichOneof("message") != "hello":
            raise self._refusal("no_hello", "a stream begins with a hello")
        claimed = request.hello.phase_id
        if claimed != role:
            raise self._refusal("foreign_id", f"phase_id: {claimed!r} by {role}; allowed is its own, {role}")
        seat = self.seats.get(role)
        if seat is None:
            raise self._refusal("not_planned", f"phase_id: {role} is not planned; allowed: {', '.join(self.seats)}")
        if seat.stream is not None:
            self._log.warning("phase connected anew; its old stream ends", phase_id=role)
            seat.stream.close()
        seat.stream = stream
        seat.policy_hash = request.hello.policy_hash
        self._log.info("phase connected", phase_id=role, policy_hash=seat.policy_hash, strategy=request.hello.strategy)
        self._guarded(self._on_hello, seat)
        if self._own_marker is not None:
            seat.post(b.SubmitResponse(marker=self._own_marker))
        return seat

    def _guarded(self, handle: Callable[..., None], *arguments: object) -> None:
        try:
            handle(*arguments)
        except Exception as error:
            self._on_defect(f"a message of a phase could not be worked on: {error}")
            raise

    def _refusal(self, cause: str, sentence: str) -> RpcRefused:
        self._refused.labels(cause).inc()
        self._log.warning("phase refused", cause=cause, reason=sentence)
        return RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, sentence)


def positions_message(positions: Iterable[Position]) -> b.SubmitResponse:
    """A phase's shares."""
    return b.SubmitResponse(positions=b.PhasePositions(positions=[position_to_wire(one) for one in positions]))
