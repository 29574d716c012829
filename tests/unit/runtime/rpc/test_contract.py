"""The wire contract and the domain agree: enum numbers, methods, topology."""

from __future__ import annotations

from enum import IntEnum

import pytest
from google.protobuf.descriptor import EnumDescriptor

from titan.domain import enums as kinds
from titan.domain.reasons import Reason
from titan.runtime.rpc.contract import METHODS
from titan.runtime.topology import CALLERS, ROLES, may_call, peers_of
from titan.v1 import brain_pb2, common_pb2, execution_pb2, journal_pb2, market_pb2, order_pb2, venue_pb2

FILES = (common_pb2, market_pb2, order_pb2, brain_pb2, execution_pb2, venue_pb2, journal_pb2)
SERVICES = {name: service for file in FILES for name, service in file.DESCRIPTOR.services_by_name.items()}
PAIRS: list[tuple[type[IntEnum], EnumDescriptor]] = [
    (Reason, common_pb2.Reason.DESCRIPTOR),
    (kinds.Side, common_pb2.Side.DESCRIPTOR),
    (kinds.OrderType, common_pb2.OrderType.DESCRIPTOR),
    (kinds.TimeInForce, common_pb2.TimeInForce.DESCRIPTOR),
    (kinds.Posture, common_pb2.Posture.DESCRIPTOR),
    (kinds.RiskLevel, common_pb2.RiskLevel.DESCRIPTOR),
    (kinds.OrderRole, order_pb2.OrderRole.DESCRIPTOR),
    (kinds.OrderState, order_pb2.OrderState.DESCRIPTOR),
    (kinds.DriftClass, order_pb2.DriftClass.DESCRIPTOR),
    (kinds.Action, brain_pb2.Action.DESCRIPTOR),
    (kinds.PositionEffect, brain_pb2.PositionEffect.DESCRIPTOR),
    (kinds.Verdict, brain_pb2.Verdict.DESCRIPTOR),
    (kinds.BudgetState, brain_pb2.BudgetState.DESCRIPTOR),
]


@pytest.mark.parametrize(
    ("domain", "wire"), PAIRS, ids=lambda pair: getattr(pair, "__name__", getattr(pair, "name", ""))
)
def test_enum_numbers_are_equal(domain: type[IntEnum], wire: EnumDescriptor) -> None:
    prefix = "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(wire.name)).upper() + "_"
    on_the_wire = {value.name.removeprefix(prefix): value.number for value in wire.values if value.number}
    assert on_the_wire == {member.name: member.value for member in domain}


def test_every_method_of_the_protos_is_a_constant_with_its_own_types() -> None:
    spelled = {
        f"/{service.full_name}/{method.name}": (
            method.input_type.full_name,
            method.output_type.full_name,
            method.client_streaming,
        )
        for service in SERVICES.values()
        for method in service.methods
    }
    constants = {
        method.path: (method.request.DESCRIPTOR.full_name, method.response.DESCRIPTOR.full_name, method.streaming)
        for method in METHODS
    }
    assert constants == spelled


def test_every_method_has_callers_and_every_caller_is_a_role() -> None:
    assert set(CALLERS) == {method.path for method in METHODS}
    assert {role for callers in CALLERS.values() for role in callers} <= set(ROLES)


def test_only_brain_may_place() -> None:
    assert [role for role in ROLES if may_call(role, "/titan.v1.Execution/Place")] == ["brain"]


def test_only_execution_may_trade_at_the_venue() -> None:
    assert [role for role in ROLES if may_call(role, "/titan.v1.PaperVenue/Trade")] == ["execution"]


def test_peers_follow_from_the_edges() -> None:
    assert peers_of("scavenger") == ("marketdata", "brain")
    assert peers_of("brain") == ("marketdata", "execution")
    assert peers_of("execution") == ("marketdata", "papervenue")
    assert peers_of("papervenue") == ("marketdata",)
    assert peers_of("marketdata") == ()


def test_ports_are_those_people_know_and_differ() -> None:
    assert {name: ROLES[name].http_port for name in ("brain", "execution", "scavenger", "hunter", "sentinel")} == {
        "brain": 3100,
        "execution": 3002,
        "scavenger": 8081,
        "hunter": 8083,
        "sentinel": 8084,
    }
    ports = [port for role in ROLES.values() for port in (role.grpc_port, role.http_port) if port]
    assert len(ports) == len(set(ports))
