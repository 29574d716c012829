"""Brain's side of its stream to Execution: orders, heartbeats, acts and markers out; what became of them back in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from titan.domain.budgets import PostureState
from titan.domain.kinds import Posture
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import EXECUTION_PLACE
from titan.runtime.rpc.link import Link
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.watermark import Watermark
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire.brain import posture_to_wire


class ExecutionClient:
    """One stream, and what was sent on it without an answer.

    A connection counts only once Execution has told its whole account: then what it has not spoken of is sent again,
    and after it the last marker. In lockstep what arrives between two markers is handed on at the second, so that two
    runs take it in at the same place.

    ``on_message`` takes all but markers; ``on_lost`` is called when the stream ends, ``on_defect`` when a message could
    not be worked on.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        term: int,
        policy_hash: str,
        posture: Callable[[], PostureState],
        in_steps: Callable[[], bool],
        on_message: Callable[[e.PlaceResponse], None],
        on_lost: Callable[[], None],
        on_defect: Callable[[str], None],
        log: Log,
    ) -> None:
        self.marker = Watermark()
        self.connected = False
        # The last act that asked for FLATTEN: its second answer says that it is done.
        self.flatten_act = 0
        self.pending: dict[str, e.PlaceOrder] = {}
        self._term = term
        self._policy_hash = policy_hash
        self._posture = posture
        self._in_steps = in_steps
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_defect = on_defect
        self._log = log
        # Asked for while Execution was away, by phase.
        self._uncanceled: dict[str, e.CancelEntries] = {}
        self._held: deque[e.PlaceResponse] = deque()
        self._own_marker: c.StepMarker | None = None
        self._acts: dict[int, asyncio.Future[e.PostureActResult]] = {}
        self._last_act = 0
        self._link: Link[e.PlaceRequest, e.PlaceResponse] = Link(
            RpcChannel(settings, "execution"), EXECUTION_PLACE, self._hello, self._receive, self._lost, log
        )

    def start(self) -> None:
        """Connect, and go on for ever."""
        self._link.start()

    async def stop(self) -> None:
        """Let what was posted go out, then end the stream."""
        await self._link.stop()

    def place(self, order: e.PlaceOrder) -> None:
        """Send an order; while Execution is away it waits for the next account."""
        if self.connected:
            self._link.post(e.PlaceRequest(order=order))
        self.pending[order.intent_id] = order

    def answered(self, intent_id: str) -> None:
        """Execution has spoken of this intent: it has the order, or has refused it."""
        self.pending.pop(intent_id, None)

    def heartbeat(self) -> None:
        """Say that Brain lives, and what posture it has in force."""
        self._link.post(self._heartbeat())

    def cancel_entries(self, phase_id: str, reason: str) -> None:
        """Ask to cancel resting entries of a phase; of all where ``phase_id`` is empty. While it is away, it waits."""
        cancel = e.CancelEntries(phase_id=phase_id, reason=reason)
        if not self._link.post(e.PlaceRequest(cancel_entries=cancel)):
            self._uncanceled[phase_id] = cancel

    def mark(self, step: int, market_time_ns: int) -> None:
        """Say that everything of this step has been decided."""
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
        """Hand on a posture act, and wait for the answer; None where none came in time."""
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
        """Hand on a posture act without waiting; False while Execution is away."""
        self._last_act += 1
        if posture is Posture.FLATTEN:
            self.flatten_act = self._last_act
        act = e.PostureAct(
            posture=posture.value,  # type: ignore[arg-type]
            by=by,
            reason=reason,
            nonce=nonce,
            term=self._term,
            act_id=self._last_act,
            only_if_never_set=only_if_never_set,
        )
        return self._link.post(e.PlaceRequest(act=act))

    def let_through(self) -> None:
        """Hand on what is held for a marker: there will be none (the market has ended)."""
        while self._held:
            self._on_message(self._held.popleft())

    def _heartbeat(self) -> e.PlaceRequest:
        return e.PlaceRequest(heartbeat=e.BrainHeartbeat(term=self._term, posture=posture_to_wire(self._posture())))

    def _hello(self) -> list[e.PlaceRequest]:
        hello = e.BrainHello(term=self._term, policy_hash=self._policy_hash)
        return [e.PlaceRequest(hello=hello), self._heartbeat()]

    def _lost(self, _reason: str) -> None:
        self.connected = False
        # A new stream begins with a whole account.
        self._held.clear()
        self._on_lost()

    def _receive(self, message: e.PlaceResponse) -> None:
        try:
            self._handle(message)
        except Exception as error:
            self._on_defect(f"a message of Execution could not be worked on: {error}")
            raise

    def _handle(self, message: e.PlaceResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "marker":
            self.let_through()
            self.marker.advance(message.marker.step)
        elif kind == "act":
            self._on_message(message)
            future = self._acts.get(message.act.act_id)
            if future is not None and not future.done():
                future.set_result(message.act)
        elif kind == "account":
            self._take_account(message)
        elif self._in_steps():
            self._held.append(message)
        else:
            self._on_message(message)

    def _take_account(self, message: e.PlaceResponse) -> None:
        account = message.account
        heard = {order.intent_id for order in account.working} | set(account.recent_intent_ids)
        for intent_id in [known for known in self.pending if known in heard]:
            del self.pending[intent_id]
        self._held.clear()
        self.connected = True
        self._on_message(message)
        for order in self.pending.values():
            self._log.warning("order sent again", intent_id=order.intent_id)
            self._link.post(e.PlaceRequest(order=order))
        for cancel in self._uncanceled.values():
            self._link.post(e.PlaceRequest(cancel_entries=cancel))
        self._uncanceled.clear()
        if self._own_marker is not None:
            self._link.post(e.PlaceRequest(marker=self._own_marker))
