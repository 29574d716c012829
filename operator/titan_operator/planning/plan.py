"""Pure: plan the workloads of one stack from its resources.

The operator renders them as Kubernetes objects, ``titan up`` as local processes (:mod:`titan_operator.render.local`).
A workload names settings and files; its renderer adds folders, addresses and certificates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from titan.domain.instruments import PAPER_INSTRUMENTS, Instrument
from titan.domain.numbers import format_decimal
from titan.domain.policy import rules_document
from titan.domain.policy_enforcement import gaps
from titan.runtime.topology import PHASES, ROLES, peers_of
from titan_operator.api.resources import (
    BrainSpec,
    ExecutionSpec,
    MarketdataSpec,
    PapervenueSpec,
    Resource,
    RiskPolicy,
    ScavengerSpec,
    Spec,
    TitanPhase,
)
from titan_operator.api.shared_objects import ComputeResources
from titan_operator.planning.gates import GateReason, Stack, first_refusal
from titan_operator.planning.roles import PLANNED_ROLES, START_ORDER

POLICY_FILE = "policy.json"
PARAMETERS_FILE = "parameters.json"
# The longest step that a market source takes by default, in milliseconds.
SOURCE_STEP_MS = 50


class PlanError(ValueError):
    """The resources do not make a stack. ``reason`` is the gate that refused; the message is one sentence."""

    def __init__(self, reason: GateReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Workload:
    """One process.

    Attributes
    ----------
    name, role
        The resource's name, and the role in its certificate.
    command
        The program with its arguments; a renderer finds it on the machine or in the image.
    files
        Content of read-only configuration files, by file name.
    settings
        Settings by field name, as strings; those of ``file_settings`` (field name to file name) are paths.
    live
        Settings that may change while it runs: they are no part of its revision.
    peers
        Roles whose servers it calls.
    depends
        Roles without which it is not ready; they start before it.
    storage
        Size of its volume; empty where it keeps no state.
    database
        Secret with the URL of the database of its tables; empty where they are on its volume, or it has none.
    pull_secrets
        Secrets with which a node pulls the image; empty where it needs none. ``titan up`` pulls nothing.
    resources
        ``requests`` and ``limits`` of the TitanPhase; a renderer fills in the rest.
    """

    name: str
    role: str
    image: str
    command: tuple[str, ...]
    settings: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    file_settings: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)
    grpc_port: int = 0
    http_port: int = 0
    peers: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    storage: str = ""
    database: str = ""
    pull_secrets: tuple[str, ...] = ()
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One stack: its policy, its mode, and its workloads in start order.

    ``policy_gaps`` describes each rule of the policy that nothing enforces.
    """

    policy_name: str
    policy_gaps: tuple[str, ...]
    policy_hash: str
    posture_ceiling: str
    mode: str
    source: str
    workloads: tuple[Workload, ...]

    @property
    def simulated(self) -> bool:
        """Whether every output of this stack must be marked SIMULATED MARKET."""
        return self.source == "simulated"

    def workload(self, role: str) -> Workload:
        """Return the workload of this role; KeyError where the stack has none."""
        for workload in self.workloads:
            if workload.role == role:
                return workload
        raise KeyError(role)


def plan(
    resources: Sequence[Resource],
    instruments: Mapping[str, Instrument] = PAPER_INSTRUMENTS,
    *,
    with_suspended: bool = False,
) -> Plan:
    """Plan the stack that ``resources`` describe.

    Parameters
    ----------
    resources
        RiskPolicies and TitanPhases, overrides applied.
    instruments
        Instruments that the venue lists.
    with_suspended
        Whether suspended phases are planned too: a cluster keeps their place in the stack.

    Raises
    ------
    PlanError
        With the first gate that refuses.
    """
    stack = Stack.of(resources, instruments, with_suspended=with_suspended)
    refusal = first_refusal(stack)
    if refusal is not None:
        raise PlanError(*refusal)
    policy = stack.policy()
    by_role = {phase.spec.role: phase for phase in stack.phases}
    roles = [role for role in START_ORDER if role in by_role]
    market = by_role["marketdata"].spec
    assert isinstance(market, MarketdataSpec)
    return Plan(
        policy_name=policy.metadata.name,
        policy_gaps=tuple(gap.sentence for gap in gaps(policy.spec.rules)),
        policy_hash=policy.spec.hash,
        posture_ceiling=policy.spec.posture,
        mode=stack.traders[0][1].mode,
        source=market.parameters.source,
        workloads=tuple(_workload(by_role[role], policy, stack, roles) for role in roles),
    )


def _workload(phase: TitanPhase, policy: RiskPolicy, stack: Stack, roles: Sequence[str]) -> Workload:
    spec = phase.spec
    parts = _parts(phase, policy, stack)
    peers = tuple(role for role in peers_of(spec.role) if role in roles)
    return Workload(
        name=phase.metadata.name,
        role=spec.role,
        image=spec.image,
        command=(f"titan-{'phase' if PLANNED_ROLES[spec.role].strategy else spec.role}",),
        settings=parts.settings,
        files=parts.files,
        file_settings=parts.file_settings,
        live=parts.live,
        grpc_port=ROLES[spec.role].grpc_port,
        http_port=ROLES[spec.role].http_port,
        peers=peers,
        depends=peers,
        storage=spec.storage.size if isinstance(spec, PapervenueSpec | ExecutionSpec | BrainSpec) else "",
        database=_database(spec),
        pull_secrets=spec.image_pull_secrets,
        resources=_amounts(spec),
    )


def _database(spec: Spec) -> str:
    reference = spec.database_secret_ref if isinstance(spec, ExecutionSpec | BrainSpec) else None
    return reference.name if reference is not None else ""


def _amounts(spec: Spec) -> dict[str, dict[str, str]]:
    resources = spec.resources or ComputeResources()
    sections = {"requests": resources.requests, "limits": resources.limits}
    return {name: section.model_dump(exclude_none=True) for name, section in sections.items() if section is not None}


@dataclass(frozen=True)
class _Parts:
    settings: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    file_settings: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)


def _parts(phase: TitanPhase, policy: RiskPolicy, stack: Stack) -> _Parts:
    spec = phase.spec
    # The rules themselves, never their hash: each process that enforces them hashes its own file.
    rules = {POLICY_FILE: _json(rules_document(policy.spec.rules))}
    from_rules = {"policy_file": POLICY_FILE}
    if isinstance(spec, MarketdataSpec):
        return _Parts(_market_settings(spec, stack))
    if isinstance(spec, PapervenueSpec):
        return _Parts(
            {
                "initial_balance": format_decimal(spec.parameters.initial_balance),
                "latency_ms": str(spec.parameters.latency_ms),
                "account_leverage": str(_account_margin(stack, policy)),
            }
        )
    if isinstance(spec, ExecutionSpec):
        settings = {"mode": spec.mode, "margin_leverage": str(_account_margin(stack, policy))}
        return _Parts(settings, rules, from_rules)
    if isinstance(spec, BrainSpec):
        traders = sorted((trader for _, trader in stack.strategies), key=lambda trader: PHASES.index(trader.role))
        settings = {
            "mode": spec.mode,
            "phases": ",".join(trader.role for trader in traders),
            "margin_leverage": ",".join(f"{trader.role}={_margin(trader, policy)}" for trader in traders),
        }
        return _Parts(settings, rules, from_rules, {"posture_ceiling": policy.spec.posture})
    return _Parts(
        {"strategy": spec.role},
        {**rules, PARAMETERS_FILE: _json(_scavenger_parameters(spec))},
        {**from_rules, "parameters_file": PARAMETERS_FILE},
    )


def _margin(spec: ScavengerSpec, policy: RiskPolicy) -> int:
    return min(spec.margin.leverage, int(policy.spec.rules.max_margin_leverage))


def _account_margin(stack: Stack, policy: RiskPolicy) -> int:
    # One account has one margin setting: the lowest of its phases. Venue, Execution and Brain get the same.
    return min(_margin(spec, policy) for _, spec in stack.strategies)


def _market_settings(spec: MarketdataSpec, stack: Stack) -> dict[str, str]:
    parameters = spec.parameters
    latency_ms = next(item.spec.parameters.latency_ms for item in stack.phases if isinstance(item.spec, PapervenueSpec))
    roles = {item.spec.role for item in stack.phases}
    subscribers = [role for role in START_ORDER if role in roles and PLANNED_ROLES[role].subscribes_to_market]
    settings = {
        "source": parameters.source,
        "symbols": ",".join(spec.symbols),
        "speed": parameters.speed,
        # An order may not arrive within the step in which it was sent.
        "step_ms": str(parameters.step_ms or (latency_ms if latency_ms < SOURCE_STEP_MS else 0)),
        "duration_s": str(parameters.duration_s),
        # In lockstep a step waits for all of these, so a stack that is half up moves no market time.
        "required_subscribers": ",".join(subscribers),
    }
    if parameters.source == "replay":
        return settings | {"files": ",".join(parameters.files)}
    return settings | {"seed": str(parameters.seed)}


def _scavenger_parameters(spec: ScavengerSpec) -> dict[str, Any]:
    return {"perp_symbol": spec.perp_symbol, "spot_symbol": spec.spot_symbol, **spec.parameters}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
