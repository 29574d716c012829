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
    """One planned phase: its stream while it is connected, and the last step that it finished."""

    def __init__(self, phase_id: str) -> None:
        self.phase_id = phase_id
        self.marker = Watermark()
        self.stream: PhaseStream | None = None
        self.policy_hash = ""

    def post(self, message: b.SubmitResponse) -> None:
        """Send to the phase, if it is connected."""
        if self.stream is not None:
            self.stream.post(message)


class PhaseListener(Protocol):
    """Receives the phases' messages, in the order of each stream."""

    def on_intent(self, message: b.Intent, session: PhaseSession, received_ns: int) -> None:
        """Handle an intent; ``received_ns`` is on the monotonic clock."""

    def on_phase_connected(self, session: PhaseSession) -> None:
        """Send the phase its posture, positions and budget before anything else."""

    def on_phase_lost(self, session: PhaseSession) -> None:
        """Note that the phase's stream has ended."""


class PhaseSessions:
    """The planned phases by id, in rank order."""

    def __init__(self, phases: Iterable[str]) -> None:
        self.by_id = {phase: PhaseSession(phase) for phase in phases}
        self.last_marker: c.StepMarker | None = None

    def mark(self, step: int, market_time_ns: int) -> None:
        """Send every phase the marker of a step of which everything has been posted."""
        self.last_marker = c.StepMarker(step=step, market_time_ns=market_time_ns)
        self.post_all(b.SubmitResponse(marker=self.last_marker))

    def post_to(self, phase_id: str, message: b.SubmitResponse) -> None:
        """Send to a phase, if it is planned and connected."""
        session = self.by_id.get(phase_id)
        if session is not None:
            session.post(message)

    def post_all(self, message: b.SubmitResponse) -> None:
        """Send to every connected phase."""
        for session in self.by_id.values():
            session.post(message)


class PhaseService:
    """Serves ``Brain.Submit``: admits the planned phases and passes their messages to the listener."""

    def __init__(
        self,
        sessions: PhaseSessions,
        listener: PhaseListener,
        on_defect: Callable[[str], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._sessions = sessions
        self._listener = listener
        self._on_defect = on_defect
        self._log = log
        self._refused = metrics.counter("titan_brain_phases_refused", "Streams of phases refused, by cause.", ["cause"])

    async def serve(self, stream: PhaseStream) -> None:
        """Handle one stream until it ends.

        Raises
        ------
        RpcRefused
            When the phase is not planned, or its certificate names another one.
        """
        session: PhaseSession | None = None
        try:
            async for request in stream:
                received_ns = time.monotonic_ns()
                kind = request.WhichOneof("message")
                if session is None:
                    session = self._admit(stream, request)
                elif kind == "intent":
                    self._guarded(self._listener.on_intent, request.intent, session, received_ns)
                elif kind == "marker":
                    session.marker.advance(request.marker.step)
                else:
                    raise self._refusal(
                        "order", f"message: {kind or 'empty'} after the hello; allowed are intent and marker"
                    )
        finally:
            if session is not None and session.stream is stream:
                session.stream = None
                self._log.warning("phase lost", phase_id=session.phase_id)
                self._listener.on_phase_lost(session)

    def _admit(self, stream: PhaseStream, request: b.SubmitRequest) -> PhaseSession:
        role = stream.peer.role
        if request.WhichOneof("message") != "hello":
            raise self._refusal("no_hello", "a stream begins with a hello")
        claimed = request.hello.phase_id
        if claimed != role:
            raise self._refusal("foreign_id", f"phase_id: {claimed!r} by {role}; allowed is its own, {role}")
        session = self._sessions.by_id.get(role)
        if session is None:
            planned = ", ".join(self._sessions.by_id)
            raise self._refusal("not_planned", f"phase_id: {role} is not planned; allowed: {planned}")
        if session.stream is not None:
            self._log.warning("phase reconnected; its old stream ends", phase_id=role)
            session.stream.close()
        session.stream = stream
        session.policy_hash = request.hello.policy_hash
        self._log.info(
            "phase connected", phase_id=role, policy_hash=session.policy_hash, strategy=request.hello.strategy
        )
        self._guarded(self._listener.on_phase_connected, session)
        if self._sessions.last_marker is not None:
            session.post(b.SubmitResponse(marker=self._sessions.last_marker))
        return session

    def _guarded(self, handle: Callable[..., None], *arguments: object) -> None:
        try:
            handle(*arguments)
        except Exception as error:
            self._on_defect(f"a phase's message could not be processed: {error}")
            raise

    def _refusal(self, cause: str, sentence: str) -> RpcRefused:
        self._refused.labels(cause).inc()
        self._log.warning("phase refused", cause=cause, reason=sentence)
        return RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, sentence)


def positions_message(positions: Iterable[Position]) -> b.SubmitResponse:
    """Encode a phase's shares."""
    return b.SubmitResponse(positions=b.PhasePositions(positions=[position_to_wire(one) for one in positions]))
