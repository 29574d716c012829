"""Queries of people and the operator to Execution, and their acts: to lower the posture, to rebase the peak."""

from __future__ import annotations

from collections import Counter

import grpc

from titan.domain.acts import reason_problem
from titan.domain.enums import OrderRole, OrderState, Posture
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason
from titan.execution.brain_session import BrainSession
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.projector import Projector
from titan.execution.rebaser import RebaseAct, Rebaser
from titan.execution.reconciler import Reconciler
from titan.execution.sender import Sender
from titan.execution.valuation import Valuer
from titan.runtime.rpc.contract import (
    EXECUTION_GET_EQUITY,
    EXECUTION_GET_EXECUTION,
    EXECUTION_LIST_FILLS,
    EXECUTION_LIST_ORDERS,
    EXECUTION_LIST_POSITIONS,
    EXECUTION_REBASE_PEAK,
    EXECUTION_TIGHTEN,
)
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import Peer, RpcServer
from titan.v1 import execution_pb2 as pb
from titan.venues.base import Venue
from titan.wire import orders as wire

MAX_LISTED = 1_000
DEFAULT_LISTED = 100
_LAST_TRIPS = 20
_LOWER: tuple[int, ...] = (Posture.CLOSE_ONLY, Posture.HALTED, Posture.FLATTEN)
_NEVER_SENT = (OrderState.NEW, OrderState.JOURNALLED)
_EXITS = (OrderRole.EXIT, OrderRole.FLATTEN)


class Queries:
    """Answers from the account in memory, which is never behind the journal."""

    def __init__(
        self,
        store: JournalledAccount,
        posture: PostureKeeper,
        valuer: Valuer,
        reconciler: Reconciler,
        rebaser: Rebaser,
        brain: BrainSession,
        sender: Sender,
        projector: Projector,
        venue: Venue,
        policy_hash: str,
    ) -> None:
        self._store = store
        self._account = store.account
        self._posture = posture
        self._valuer = valuer
        self._reconciler = reconciler
        self._rebaser = rebaser
        self._brain = brain
        self._sender = sender
        self._projector = projector
        self._policy_hash = policy_hash
        self._venue = venue

    def serve(self, server: RpcServer) -> None:
        """Register the methods."""
        server.unary(EXECUTION_TIGHTEN, self._tighten)
        server.unary(EXECUTION_REBASE_PEAK, self._rebase)
        server.unary(EXECUTION_GET_EXECUTION, self._execution)
        server.unary(EXECUTION_LIST_ORDERS, self._orders)
        server.unary(EXECUTION_LIST_FILLS, self._fills)
        server.unary(EXECUTION_LIST_POSITIONS, self._positions)
        server.unary(EXECUTION_GET_EQUITY, self._equity)

    def counts(self) -> dict[str, int]:
        """Return the numbers of orders by their result, of fills, round trips and refusals."""
        states = Counter(order.state for order in self._account.orders.values())
        # An order that was canceled before its send never left this process: it has no venue order id and no fill.
        unsent = sum(
            order.state in _NEVER_SENT or (order.state is OrderState.CANCELED and not order.venue_order_id)
            for order in self._account.orders.values()
        )
        return {
            "sent": len(self._account.orders) - unsent,
            "filled": states[OrderState.FILLED],
            "rejected": states[OrderState.REJECTED],
            "canceled": states[OrderState.CANCELED],
            "lost": states[OrderState.LOST],
            "working": len(self._account.working),
            "fills": len(self._account.fills),
            "round_trips": len(self._account.round_trips),
            "refusals": self._account.refusals,
            "refused_exits": sum(
                order.order_role in _EXITS
                and order.state is OrderState.REJECTED
                and order.reason is not Reason.NOT_REDUCING
                for order in self._account.orders.values()
            ),
        }

    async def _tighten(self, request: pb.TightenRequest, peer: Peer) -> pb.TightenResponse:
        if int(request.posture) not in _LOWER:
            message = f"posture: {request.posture} is not allowed; Tighten only lowers, to one of "
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, message + ", ".join(Posture(one).name for one in _LOWER))
        _check_reason(request.reason)
        by = f"{peer.role}: {request.by}" if request.by else peer.role
        # The latch stays where it is lower already: the request names the most that is allowed.
        outcome = self._brain.tighten(Posture(request.posture), by, request.reason)
        result = self._brain.act_result(0, outcome)
        self._brain.send_act(result)
        return pb.TightenResponse(result=result)

    async def _rebase(self, request: pb.RebasePeakRequest, peer: Peer) -> pb.RebasePeakResponse:
        for field in ("by", "reason", "nonce"):
            if not getattr(request, field).strip():
                message = f"{field}: '' is not allowed; a rebase names its person, its reason and a new nonce"
                raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, message)
        _check_reason(request.reason)
        response = self._rebaser.rebase(RebaseAct(f"{request.by} ({peer.role})", request.reason, request.nonce))
        self._store.notify()
        self._brain.send_equity(self._valuer.equity)
        return response

    async def _execution(self, _request: pb.GetExecutionRequest, _peer: Peer) -> pb.GetExecutionResponse:
        counts, journal = self.counts(), self._store.journal
        return pb.GetExecutionResponse(
            posture=self._posture.to_wire(),
            policy_hash=self._policy_hash,
            truth=wire.truth_to_wire(self._reconciler.truth),
            term=self._store.term,
            lease_held=self._sender.may_send(),
            venue_connected=self._venue.connected,
            brain_connected=self._brain.connected,
            working_orders=counts["working"],
            open_positions=self._account.open_positions,
            orders_sent=counts["sent"],
            orders_filled=counts["filled"],
            orders_rejected=counts["rejected"],
            fills=counts["fills"],
            round_trips=counts["round_trips"],
            journal_sequence=journal.last_sequence,
            projection_lag=self._projector.lag,
            ledger_balanced=self._account.ledger.balanced,
            market_time_ns=self._store.now_ns,
            refusals=counts["refusals"],
            working_entries=sum(order.order_role is OrderRole.ENTRY for order in self._account.working.values()),
            unresolved_orders=sum(not order.at_venue for order in self._account.working.values()),
            journal_synced=not journal.failed and journal.synced_sequence >= journal.last_sequence,
            reconciled=self._reconciler.settled.is_set(),
            database_problem=self._projector.problem.message if self._projector.problem else "",
            refused_exits=counts["refused_exits"],
            reconciliation_problem=self._reconciler.problem,
        )

    async def _orders(self, request: pb.ListOrdersRequest, _peer: Peer) -> pb.ListOrdersResponse:
        orders = self._account.working if request.working_only else self._account.orders
        return pb.ListOrdersResponse(
            orders=[wire.order_to_wire(order) for order in list(orders.values())[: -_limit(request.limit) - 1 : -1]]
        )

    async def _fills(self, request: pb.ListFillsRequest, _peer: Peer) -> pb.ListFillsResponse:
        return pb.ListFillsResponse(
            fills=[wire.fill_to_wire(fill) for fill in self._account.fills[: -_limit(request.limit) - 1 : -1]]
        )

    async def _positions(self, _request: pb.ListPositionsRequest, _peer: Peer) -> pb.ListPositionsResponse:
        return pb.ListPositionsResponse(
            positions=[wire.position_to_wire(position) for position in self._valuer.positions()]
        )

    async def _equity(self, _request: pb.GetEquityRequest, _peer: Peer) -> pb.GetEquityResponse:
        return pb.GetEquityResponse(
            equity=wire.equity_to_wire(self._valuer.value()),
            round_trips=len(self._account.round_trips),
            ledger_balanced=self._account.ledger.balanced,
            last_round_trips=[
                wire.round_trip_to_wire(trip) for trip in self._account.round_trips[: -_LAST_TRIPS - 1 : -1]
            ],
            other_fees={name: format_decimal(fee) for name, fee in self._account.other_fees.items()},
        )


def _limit(requested: int) -> int:
    return min(requested or DEFAULT_LISTED, MAX_LISTED)


def _check_reason(reason: str) -> None:
    if problem := reason_problem(reason, "reason"):
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, problem)
