"""Roles, ports, processors and allowed calls: the one table of the stack's edges.

From it come the method check in every gRPC server (the peer's certificate names its role), the addresses of peers, the
network policies in a cluster, and a test that tries every edge, allowed and forbidden.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from titan.runtime.rpc.contract import (
    BRAIN_EXPLAIN_DECISION,
    BRAIN_GET_BRAIN,
    BRAIN_LIST_DECISIONS,
    BRAIN_SET_CEILING,
    BRAIN_SET_POSTURE,
    BRAIN_SUBMIT,
    EXECUTION_GET_EQUITY,
    EXECUTION_GET_EXECUTION,
    EXECUTION_LIST_FILLS,
    EXECUTION_LIST_ORDERS,
    EXECUTION_LIST_POSITIONS,
    EXECUTION_PLACE,
    EXECUTION_REBASE_PEAK,
    EXECUTION_TIGHTEN,
    MARKETDATA_GET_MARKET,
    MARKETDATA_SUBSCRIBE,
    METHODS,
    PAPERVENUE_GET_ACCOUNT,
    PAPERVENUE_GET_VENUE_ORDER,
    PAPERVENUE_LIST_OPEN_ORDERS,
    PAPERVENUE_LIST_VENUE_TRADES,
    PAPERVENUE_TRADE,
    PAPERVENUE_TRANSFER,
)


@dataclass(frozen=True)
class Role:
    """One role: its ports (gRPC 0: serves none), the service of the contract it serves, and its processors.

    ``half`` 0 or 1 is the half of the machine's processors on which the role runs; None is all of them.
    """

    name: str
    grpc_port: int
    http_port: int
    service: str = ""
    half: int | None = None


# HTTP ports are the ones people know; gRPC ports are ours.
ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role("marketdata", 3210, 3200, "MarketData"),
        Role("papervenue", 3310, 3300, "PaperVenue"),
        # On one processor, an order that Brain has sent would wait there until Brain has done the rest of its work.
        Role("execution", 3012, 3002, "Execution", half=1),
        Role("brain", 3110, 3100, "Brain", half=0),
        Role("scavenger", 0, 8081),
        Role("hunter", 0, 8083),
        Role("sentinel", 0, 8084),
        # People and the operator: they only call.
        Role("cli", 0, 0),
        Role("operator", 0, 0),
    )
}

# In rank order: of several phases that act in one step, the first here is decided first.
PHASES = ("scavenger", "hunter", "sentinel")
_PEOPLE = ("cli", "operator")

# Method → the roles that may call it. A method that is not here is refused to all.
CALLERS: dict[str, tuple[str, ...]] = {
    method.path: callers
    for method, callers in (
        (MARKETDATA_SUBSCRIBE, ("papervenue", "execution", "brain", *PHASES)),
        (MARKETDATA_GET_MARKET, _PEOPLE),
        (BRAIN_SUBMIT, PHASES),
        (BRAIN_SET_POSTURE, _PEOPLE),
        # The ceiling follows the resource: people change the resource.
        (BRAIN_SET_CEILING, ("operator",)),
        (BRAIN_GET_BRAIN, _PEOPLE),
        (BRAIN_LIST_DECISIONS, _PEOPLE),
        (BRAIN_EXPLAIN_DECISION, _PEOPLE),
        (EXECUTION_PLACE, ("brain",)),
        (EXECUTION_TIGHTEN, _PEOPLE),
        (EXECUTION_REBASE_PEAK, _PEOPLE),
        (EXECUTION_GET_EXECUTION, _PEOPLE),
        (EXECUTION_LIST_ORDERS, _PEOPLE),
        (EXECUTION_LIST_FILLS, _PEOPLE),
        (EXECUTION_LIST_POSITIONS, _PEOPLE),
        (EXECUTION_GET_EQUITY, _PEOPLE),
        (PAPERVENUE_TRADE, ("execution",)),
        # People may query the venue itself, to check Execution's account against it.
        (PAPERVENUE_GET_VENUE_ORDER, ("execution", *_PEOPLE)),
        (PAPERVENUE_LIST_OPEN_ORDERS, ("execution", *_PEOPLE)),
        (PAPERVENUE_LIST_VENUE_TRADES, ("execution", *_PEOPLE)),
        (PAPERVENUE_GET_ACCOUNT, ("execution", *_PEOPLE)),
        # A person's play money: neither Execution nor the operator moves any.
        (PAPERVENUE_TRANSFER, ("cli",)),
    )
}


def processors_of(role: str, available: Collection[int]) -> set[int]:
    """Return the processors on which ``role`` runs, of those that are available to it; all where there is only one."""
    half = ROLES[role].half if role in ROLES else None
    ordered = sorted(available)
    middle = len(ordered) // 2
    if half is None or not middle:
        return set(ordered)
    return set(ordered[middle:] if half else ordered[:middle])


def may_call(role: str, path: str) -> bool:
    """Whether a peer with this role may call the method at this path."""
    return role in CALLERS.get(path, ())


def peers_of(role: str) -> tuple[str, ...]:
    """Roles whose servers ``role`` calls, in the order of the table: the addresses it needs."""
    services = {method.service for method in METHODS if may_call(role, method.path)}
    return tuple(peer.name for peer in ROLES.values() if peer.service in services and peer.service)
