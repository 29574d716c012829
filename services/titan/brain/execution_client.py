"""Brain's side of its stream to Execution: orders, heartbeats, acts and markers out, reports in."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Protocol

from titan.domain.enums import Posture
from titan.domain.posture import PostureState
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import EXECUTION_PLACE
from titan.runtime.rpc.link import Link
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.watermark import Watermark
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire.brain import posture_to_wire

# Pause before a Brain that waits for another one's silence asks again, and before it connects with its new term.
_STALE_RETRY_S = 1.0
_RISE_S = 0.02
# Reports that Execution makes within a step.
_OF_A_STEP = ("order", "fill", "equity", "digest")


class ExecutionListener(Protocol):
    """Receives Execution's reports, in their order."""

    @property
    def posture(self) -> PostureState:
        """The posture that a new stream begins with."""

    def on_report(self, message: e.PlaceResponse) -> None:
        """Handle any message but a marker."""

    def on_execution_lost(self) -> None:
        """Note that the stream has ended."""


class ExecutionClient:
    """One stream, and what was sent on it without an answer.

    A connection counts only once Execution has sent its whole account, which answers the orders without an answer.
    Those that Execution does not have are sent again then, and the last marker after them.

    A Brain whose term is not the highest takes the next one once Execution has heard no other Brain for the silence
    time. ``take_term`` is called with it first, and has to make it durable.

    Attributes
    ----------
    lockstep
        Whether reports of a step wait for its marker, so that two runs apply them at the same place.
    holding
        Set from the first lockstep step on: every report waits for the next marker.
    pending
        Orders without an answer, by intent id.
    stale
        Why Execution does not obey this Brain; empty while it does.
    term
        This Brain's term.
    flatten_act
        The last act that requested FLATTEN: its second answer reports the account flat.
    reported_ns
        Market time of the last step of which Execution has reported everything.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        term: int,
        take_term: Callable[[int], None],
        policy_hash: str,
        on_defect: Callable[[str], None],
        log: Log,
    ) -> None:
        self.marker = Watermark()
        self.connected = False
        self.lockstep = False
        self.holding = False
        self.flatten_act = 0
        self.reported_ns = 0
        self.pending: dict[str, e.PlaceOrder] = {}
        self.stale = ""
        self.term = term
        self._take_term = take_term
        self._brain_id = os.urandom(8).hex()
        self._policy_hash = policy_hash
        self._on_defect = on_defect
        self._log = log
        self._listener: ExecutionListener
        # Requested while Execution was away, by phase.
        self._unsent_cancels: dict[str, e.CancelEntries] = {}
        self._held: deque[e.PlaceResponse] = deque()
        self._own_marker: c.StepMarker | None = None
        self._acts: dict[int, asyncio.Future[e.PostureActResult]] = {}
        self._last_act = 0
        self._link: Link[e.PlaceRequest, e.PlaceResponse] = Link(
            RpcChannel(settings, "execution"), EXECUTION_PLACE, self._hello, self._receive, self._lost, log
        )

    def start(self, listener: ExecutionListener) -> None:
        """Connect, and reconnect until stopped."""
        self._listener = listener
        self._link.start()

    async def stop(self) -> None:
        """Send what was posted, then end the stream."""
        await self._link.stop()

    def place(self, order: e.PlaceOrder) -> None:
        """Send an order; while Execution is away it waits for the next account."""
        if self.connected:
            self._link.post(e.PlaceRequest(order=order))
        self.pending[order.intent_id] = order

    def answered(self, intent_id: str) -> None:
        """Note that Execution has accepted or refused the order of this intent."""
        self.pending.pop(intent_id, None)

    def heartbeat(self, posture: PostureState) -> None:
        """Send a sign of life with the posture in force."""
        self._link.post(self._heartbeat(posture))

    def cancel_entries(self, phase_id: str, reason: str) -> None:
        """Cancel the resting entries of a phase, or of all where ``phase_id`` is empty; sent later while it is away."""
        cancel = e.CancelEntries(phase_id=phase_id, reason=reason)
        if not self._link.post(e.PlaceRequest(cancel_entries=cancel)):
            self._unsent_cancels[phase_id] = cancel

    def mark(self, step: int, market_time_ns: int) -> None:
        """Send the marker of a step of which everything has been decided."""
        self._own_marker = c.StepMarker(step=step, market_time_ns=market_time_ns)
        if self.connected:
            self._link.post(e.PlaceRequest(marker=self._own_marker))

    async def act(
        self,
        posture: Posture,
        by: str,
        reason: str,
        timeout_s: float,
        nonce: str = "",
        only_if_never_set: bool = False,
    ) -> e.PostureActResult | None:
        """Send a posture act and wait for the answer; None where none came in time."""
        act_id = self._last_act + 1
        future: asyncio.Future[e.PostureActResult] = asyncio.get_running_loop().create_future()
        self._acts[act_id] = future
        try:
            if not self.post_act(posture, by, reason, nonce, only_if_never_set):
                return None
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._acts.pop(act_id, None)

    def post_act(
        self,
        posture: Posture,
        by: str,
        reason: str,
        nonce: str = "",
        only_if_never_set: bool = False,
    ) -> bool:
        """Send a posture act without waiting; False while Execution is away."""
        self._last_act += 1
        if posture is Posture.FLATTEN:
            self.flatten_act = self._last_act
        act = e.PostureAct(
            posture=posture.value,  # type: ignore[arg-type]
            by=by,
            reason=reason,
            nonce=nonce,
            term=self.term,
            act_id=self._last_act,
            only_if_never_set=only_if_never_set,
        )
        return self._link.post(e.PlaceRequest(act=act))

    def report_mirror_drift(self, sequence: int, lines: list[str]) -> None:
        """Report that Brain's view differs from the digest of ``sequence``; a fresh account is the answer."""
        drift = e.MirrorDrift(sequence=sequence, lines=lines, unanswered_intent_ids=list(self.pending))
        self._link.post(e.PlaceRequest(mirror_drift=drift))

    def release(self) -> None:
        """Pass the held reports to the listener."""
        while self._held:
            self._listener.on_report(self._held.popleft())

    def _heartbeat(self, posture: PostureState) -> e.PlaceRequest:
        return e.PlaceRequest(heartbeat=e.BrainHeartbeat(term=self.term, posture=posture_to_wire(posture)))

    def _hello(self) -> list[e.PlaceRequest]:
        hello = e.BrainHello(
            term=self.term,
            policy_hash=self._policy_hash,
            brain_id=self._brain_id,
            unanswered_intent_ids=list(self.pending),
        )
        return [e.PlaceRequest(hello=hello), self._heartbeat(self._listener.posture)]

    def _lost(self, _reason: str) -> None:
        self.connected = False
        # A new stream begins with a whole account.
        self._held.clear()
        self._listener.on_execution_lost()

    def _receive(self, message: e.PlaceResponse) -> None:
        try:
            self._handle(message)
        except Exception as error:
            self._on_defect(f"a message of Execution could not be processed: {error}")
            raise

    def _handle(self, message: e.PlaceResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "marker":
            self.release()
            self.reported_ns = max(self.reported_ns, message.marker.market_time_ns)
            self.marker.advance(message.marker.step)
        elif kind == "act":
            self._listener.on_report(message)
            future = self._acts.get(message.act.act_id)
            if future is not None and not future.done():
                future.set_result(message.act)
        elif kind == "account":
            self._on_account(message)
        elif kind == "stale_term":
            self._on_stale_term(message.stale_term)
        elif self.holding or (self.lockstep and kind in _OF_A_STEP):
            self._held.append(message)
        else:
            self._listener.on_report(message)

    def _on_stale_term(self, found: e.StaleTerm) -> None:
        """Take the next term where no other Brain decides; else wait, and say once who does."""
        if found.may_rise:
            self._take_term(found.highest_term + 1)
            self._log.warning(
                "took the next term: no other Brain was heard", before=self.term, highest=found.highest_term
            )
            self.term, self.stale = found.highest_term + 1, ""
            self._link.refused(_RISE_S)
            return
        stale = (
            f"the Brain of term {found.highest_term} decides; this one has term {self.term} and waits for its silence"
        )
        if stale != self.stale:
            self._log.error("STALE_TERM", reason=stale)
        self.stale = stale
        self._link.refused(_STALE_RETRY_S)

    def _on_account(self, message: e.PlaceResponse) -> None:
        account = message.account
        for result in account.answered:
            self.answered(result.intent_id)
        for refusal in account.refused:
            self.answered(refusal.intent_id)
        if self.connected:
            # A fresh account on the same stream: what was sent before it is contained, and the phases hear of it.
            self.release()
        self._held.clear()
        self.connected, self.stale = True, ""
        self._listener.on_report(message)
        for order in self.pending.values():
            self._log.warning("order sent again", intent_id=order.intent_id)
            order.term = self.term
            self._link.post(e.PlaceRequest(order=order))
        for cancel in self._unsent_cancels.values():
            self._link.post(e.PlaceRequest(cancel_entries=cancel))
        self._unsent_cancels.clear()
        if self._own_marker is not None:
            self._link.post(e.PlaceRequest(marker=self._own_marker))
