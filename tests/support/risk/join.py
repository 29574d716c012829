"""Brain's and Execution's cores joined by two queues of messages that a test may cut anywhere.

Brain's side is the client, the listener and the risk state of its process, on a link of memory.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec

from support.risk.execution_side import PRICE, ExecutionSide
from support.risk.scene import HASH, PERP, intent, risk_state
from titan.brain import execution_client
from titan.brain.execution_client import ExecutionClient
from titan.brain.execution_updates import ExecutionUpdates
from titan.brain.phase_sessions import PhaseSessions
from titan.domain.enums import Action, PositionEffect, Posture, Side
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.position_effect import reducible
from titan.domain.reasons import Reason
from titan.risk.controller import RiskController
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine, reserve
from titan.risk.state_updater import StateUpdater
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire.fields import enum_number, optional_decimal

PHASES = ("scavenger", "hunter")


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


class Join:
    """Both cores; ``to_execution`` and ``execution.to_brain`` hold the messages on their way.

    Attributes
    ----------
    up
        Whether the stream exists. Execution serves it from the hello on.
    """

    def __init__(self) -> None:
        self.up = False
        self.to_execution: deque[bytes] = deque()
        self.intents = 0
        self.execution = ExecutionSide()
        self._begin_brain()

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
            lambda: None,
            PhaseSessions(PHASES),
            latch,
            lambda: self.execution.now_ns,
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
            event_time_ns=self.execution.now_ns,
            ttl_ns=0,
            stop_price=stop,
            target_price=target,
        )
        engine = RiskEngine(self.state.limits, 1)
        decision = msgspec.structs.replace(
            engine.invalid(requested, "", self.execution.now_ns),
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
                event_time_ns=self.execution.now_ns,
                decision=b.Decision(setup="breakout"),
            )
        )
        reserve(self.state, requested, decision)
        self.state.refresh()
        return intent_id

    # The stream between both.

    def connect(self) -> None:
        """Open a stream: the hello goes first."""
        if not self.up:
            self.up = True
            self.to_execution.extend(message.SerializeToString() for message in self.client._hello())

    def cut(self) -> None:
        """Lose every message on its way, in both directions."""
        self.to_execution.clear()
        self.execution.to_brain.clear()
        self.execution.serving = False
        if self.up:
            self.up = False
            self.client._lost("cut")

    def deliver_up(self) -> None:
        """Deliver the next message to Execution."""
        if self.to_execution:
            self.execution.receive(e.PlaceRequest.FromString(self.to_execution.popleft()))

    def deliver_down(self) -> None:
        """Deliver the next message to Brain."""
        if self.execution.to_brain:
            self.client._receive(e.PlaceResponse.FromString(self.execution.to_brain.popleft()))

    def settle(self) -> None:
        """Connect, and deliver until nothing is on its way."""
        self.connect()
        while self.to_execution or self.execution.to_brain:
            self.deliver_up()
            self.deliver_down()
