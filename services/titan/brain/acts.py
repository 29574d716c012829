"""Posture acts of people and the operator. Source: domain.md section 4.

Lowering is instant and needs one actor: Brain's latch first, then Execution, which acknowledges. Raising is one-shot
and needs every precondition. Execution raises first and Brain last, so that a crash between leaves the lower posture in
force.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from titan.brain.execution_client import ExecutionClient
from titan.brain.stored_latch import StoredLatch
from titan.domain.acts import reason_problem
from titan.domain.enums import Posture
from titan.domain.reasons import Reason
from titan.durable.latch import LatchRefused, LatchUnavailable
from titan.risk.controller import RiskController
from titan.risk.posture import EXECUTION_AWAY, ArmingFacts, arming_problems
from titan.risk.state import RiskState
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import Peer
from titan.runtime.telemetry.logs import Log
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.wire.brain import posture_to_wire


class PostureActs:
    """Serves ``Brain.SetPosture`` and ``Brain.SetCeiling``."""

    def __init__(
        self,
        controller: RiskController,
        latch: StoredLatch,
        execution: ExecutionClient,
        risk_state: RiskState,
        now_ns: Callable[[], int],
        timeout_s: float,
        log: Log,
    ) -> None:
        self._controller = controller
        self._latch = latch
        self._execution = execution
        self._risk_state = risk_state
        self._now_ns = now_ns
        self._timeout_s = timeout_s
        self._log = log

    async def serve(self, request: b.SetPostureRequest, peer: Peer) -> b.SetPostureResponse:
        """Carry out one act.

        Raises
        ------
        RpcRefused
            When the request itself is wrong: field, value, what is allowed.
        """
        posture, by = _posture(request.posture, "posture"), _by(request.by, peer)
        if problem := reason_problem(request.reason, "reason"):
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, problem)
        latch = self._latch
        if posture <= latch.posture and not (posture is Posture.ARMED or request.only_if_never_set):
            return await self._lower(posture, by, request.reason)
        if request.tighten_only:
            sentence = f"the latch is {latch.posture.name} by {latch.by or 'nobody'}, below {posture.name}"
            return self._response(True, Reason.OK, f"{sentence}; only arming raises it")
        if not request.nonce:
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "nonce: empty; raising the posture is a one-shot act")
        return await self._raise(posture, by, request)

    async def serve_ceiling(self, request: b.SetCeilingRequest, peer: Peer) -> b.SetCeilingResponse:
        """Follow the ceiling of the resource: lower takes effect at once, higher never raises the latch.

        Raises
        ------
        RpcRefused
            When the request itself is wrong: field, value, what is allowed.
        """
        ceiling, by = _posture(request.ceiling, "ceiling"), _by(request.by, peer)
        controller, latch, own = self._controller, self._latch, self._risk_state.limits.policy_hash
        if request.policy_hash != own:
            self._log.warning("ceiling refused", ceiling=ceiling.name, its_policy=request.policy_hash, own_policy=own)
            return b.SetCeilingResponse(
                done=False,
                reason=Reason.POLICY_HASH_MISMATCH.value,  # type: ignore[arg-type]
                message=f"the ceiling is of policy {request.policy_hash or 'none'}, Brain enforces {own}",
                posture=posture_to_wire(controller.state),
            )
        not_stored = ""
        if ceiling is not controller.ceiling:
            self._log.warning("ceiling", ceiling=ceiling.name, before=controller.ceiling.name, by=by)
            before = latch.posture
            not_stored = controller.set_ceiling(ceiling, by)
            self._apply()
            if latch.posture < before:
                # Execution's own latch follows, so that it holds without Brain too.
                await self._execution.act(ceiling, by, latch.reason, self._timeout_s)
        return b.SetCeilingResponse(
            done=True,
            reason=Reason.OK.value,  # type: ignore[arg-type]
            message=not_stored or request.reason,
            posture=posture_to_wire(controller.state),
        )

    async def _lower(self, posture: Posture, by: str, reason: str) -> b.SetPostureResponse:
        not_stored = self._latch.lower(posture, by, reason)
        self._apply()
        result = await self._execution.act(posture, by, reason, self._timeout_s)
        response = self._response(True, Reason.OK, not_stored)
        return _acknowledged(response, result)

    async def _raise(self, posture: Posture, by: str, request: b.SetPostureRequest) -> b.SetPostureResponse:
        latch = self._latch
        if request.only_if_never_set and not latch.never_set:
            author, reason = latch.by or "an earlier act", latch.reason or "no reason given"
            sentence = f"the latch was set to {latch.posture.name} by {author} ({reason})"
            return self._response(False, Reason.POSTURE, f"{sentence}; only a person raises it again")
        if latch.used(request.nonce):
            sentence = f"nonce {request.nonce!r} has been used; arming is a one-shot act"
            return self._response(False, Reason.NONCE_USED, sentence)
        problems = self._problems(posture)
        if problems:
            response = self._response(False, Reason.PRECONDITION, "; ".join(problems))
            response.preconditions.extend(problems)
            return response
        result = await self._execution.act(
            posture, by, request.reason, self._timeout_s, request.nonce, request.only_if_never_set
        )
        if result is None:
            return self._response(False, Reason.EXECUTION_AWAY, "execution did not answer; nothing is raised")
        if not result.done:
            return self._response(False, Reason(result.reason), f"execution refused: {result.message}")
        try:
            latch.raise_to(posture, by, request.nonce, request.reason, only_if_never_set=request.only_if_never_set)
        except LatchRefused as refused:
            return self._response(False, refused.reason, refused.message)
        except LatchUnavailable as error:
            return self._response(False, Reason.PRECONDITION, error.reason)
        self._log.warning("posture raised", latch=posture.name, by=by, reason=request.reason)
        self._apply()
        return _acknowledged(self._response(True, Reason.OK, ""), result)

    def _problems(self, posture: Posture) -> list[str]:
        controller, risk_state = self._controller, self._risk_state
        problems = []
        if self._latch.posture is Posture.FLATTEN:
            problems.append("latch: FLATTEN is not finished; raising needs a flat account")
        if controller.blocked:
            problems.append(controller.blocked)
        if not risk_state.execution_connected:
            problems.append(EXECUTION_AWAY)
        if posture is not Posture.ARMED:
            return problems
        facts = ArmingFacts(
            ceiling=controller.ceiling,
            risk_level=controller.level.level,
            equity=risk_state.equity,
            truth=risk_state.truth,
            min_truth_score=risk_state.limits.min_truth_score,
            reconciled=risk_state.reconciled,
            execution_connected=True,
            policy_hash=risk_state.limits.policy_hash,
            execution_hash=risk_state.execution_hash,
            mode_problem=risk_state.limits.mode_problem,
            two_person_arm=risk_state.limits.rules.two_person_arm,
        )
        return problems + (arming_problems(facts) if risk_state.execution_connected else [])

    def _apply(self) -> None:
        """Put an act in force at once, in the posture and in the budgets."""
        self._controller.update_posture()
        self._controller.grant_budgets(self._now_ns())

    def _response(self, done: bool, reason: Reason, message: str) -> b.SetPostureResponse:
        return b.SetPostureResponse(
            done=done,
            reason=reason.value,  # type: ignore[arg-type]
            message=message,
            posture=posture_to_wire(self._controller.state),
        )


def _posture(number: int, field: str) -> Posture:
    try:
        return Posture(number)
    except ValueError as error:
        allowed = ", ".join(known.name for known in Posture)
        sentence = f"{field}: {number} is not known; allowed are {allowed}"
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, sentence) from error


def _by(name: str, peer: Peer) -> str:
    if not name:
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "by: empty; an act names its actor")
    return f"{name} ({peer.role})"


def _acknowledged(response: b.SetPostureResponse, result: e.PostureActResult | None) -> b.SetPostureResponse:
    if result is not None and result.done:
        response.acknowledged_by = "execution"
        response.working_orders = result.working_orders
        response.open_positions = result.open_positions
    return response
