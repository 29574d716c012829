"""Pure: the gates that a stack passes before anything starts: one function each, in order.

A gate returns None, or its reason and one sentence that names the resource and the allowed values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from titan.domain.instruments import Instrument
from titan.domain.policy import mode_problem, untradable_symbols
from titan_operator.api.parameters import MarketdataParameters, PapervenueParameters
from titan_operator.api.resources import (
    MarketdataSpec,
    PapervenueSpec,
    Resource,
    RiskPolicy,
    ScavengerSpec,
    TitanPhase,
    TradingSpec,
)
from titan_operator.planning.roles import PLANNED_ROLES, START_ORDER


class GateReason(StrEnum):
    """Gate that refused."""

    SPEC_VALID = "SpecValid"
    NOT_SUSPENDED = "NotSuspended"
    ONE_POLICY_PER_STACK = "OnePolicyPerStack"
    POLICY_FOUND = "PolicyFound"
    POLICY_HASH_MATCHES = "PolicyHashMatches"
    POLICY_SIGNED = "PolicySigned"
    SYMBOLS_TRADABLE = "SymbolsTradable"
    LIVE_APPROVED = "LiveApproved"
    ROLES_COMPLETE = "RolesComplete"
    MARKET_COVERS = "MarketCovers"
    IMAGE_VERIFIED = "ImageVerified"
    ADMISSION_ENFORCED = "AdmissionEnforced"
    SECRETS_PRESENT = "SecretsPresent"
    SAFE_TO_ROLL = "SafeToRoll"


@dataclass(frozen=True)
class Stack:
    """All resources of one stack, by kind."""

    policies: tuple[RiskPolicy, ...]
    phases: tuple[TitanPhase, ...]
    instruments: Mapping[str, Instrument]

    @staticmethod
    def of(
        resources: Sequence[Resource], instruments: Mapping[str, Instrument], *, with_suspended: bool = False
    ) -> Stack:
        """Sort resources; a resource that appears twice (two files, one content) counts once.

        Suspended phases are left out, unless ``with_suspended``. A cluster's stack keeps them: suspending one phase
        must change nothing for the others.
        """
        unique = list(dict.fromkeys(_Frozen(resource) for resource in resources))
        policies = tuple(item.resource for item in unique if isinstance(item.resource, RiskPolicy))
        phases = tuple(
            item.resource
            for item in unique
            if isinstance(item.resource, TitanPhase) and (with_suspended or not item.resource.spec.suspend)
        )
        return Stack(policies, phases, instruments)

    @property
    def traders(self) -> tuple[tuple[TitanPhase, TradingSpec], ...]:
        """Phases that are bound to a policy: Brain, Execution and the strategies."""
        return tuple((phase, phase.spec) for phase in self.phases if isinstance(phase.spec, TradingSpec))

    @property
    def strategies(self) -> tuple[tuple[TitanPhase, ScavengerSpec], ...]:
        """Phases that decide what to trade."""
        return tuple((phase, phase.spec) for phase in self.phases if isinstance(phase.spec, ScavengerSpec))

    def policy(self) -> RiskPolicy:
        """Return the one policy that is pinned; valid only behind the gates."""
        pin = self.traders[0][1].policy_ref
        return next(policy for policy in self.policies if policy.metadata.name == pin.name)


class _Frozen:
    # Resources compare by value and hold mappings, so they cannot be hashed as they are.
    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    def __hash__(self) -> int:
        return hash((self.resource.kind, self.resource.metadata.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self.resource == other.resource


Outcome = tuple[GateReason, str] | None


def spec_valid(stack: Stack) -> Outcome:
    """Require one content a name, and one process a role."""
    for kind, resources in (("RiskPolicy", stack.policies), ("TitanPhase", stack.phases)):
        name, count = _most([resource.metadata.name for resource in resources])
        if count > 1:
            return GateReason.SPEC_VALID, f"{kind} {name}: given {count} times with different contents; allowed is one"
    role, count = _most([phase.spec.role for phase in stack.phases])
    if count > 1:
        names = _names([phase for phase in stack.phases if phase.spec.role == role])
        return GateReason.SPEC_VALID, f"role {role}: given by {names}; allowed is one TitanPhase of a role in a stack"
    return None


def roles_complete(stack: Stack) -> Outcome:
    """Require every role on the way of an order."""
    given = {phase.spec.role for phase in stack.phases}
    # A stack without a trader names no mode: then it lacks what any mode needs.
    modes = {spec.mode for _, spec in stack.traders}
    needed = [PLANNED_ROLES[role] for role in START_ORDER]
    missing = [
        role.name
        for role in needed
        if role.name not in given and (modes.intersection(role.required_in) if modes else role.required_in)
    ]
    if not stack.strategies:
        missing.append(f"a phase ({', '.join(role.name for role in needed if role.strategy)})")
    if not missing:
        return None
    has = f"given are {', '.join(sorted(given))}" if given else "no TitanPhase is given"
    return GateReason.ROLES_COMPLETE, f"the stack lacks {', '.join(missing)}; {has}"


def one_policy_per_stack(stack: Stack) -> Outcome:
    """Require one pinned policy. Pins count, not policies: Git may keep one that nothing pins."""
    pins = {spec.policy_ref.name: phase for phase, spec in stack.traders}
    if len(pins) <= 1:
        return None
    pinning = ", ".join(f"{phase.metadata.name} pins {name}" for name, phase in sorted(pins.items()))
    return GateReason.ONE_POLICY_PER_STACK, f"policyRef: {pinning}; allowed is one policy for the whole stack"


def policy_found(stack: Stack) -> Outcome:
    """Require that each pin names a policy of the stack."""
    names = [policy.metadata.name for policy in stack.policies]
    for phase, spec in stack.traders:
        if spec.policy_ref.name not in names:
            given = f"given are {', '.join(sorted(names))}" if names else "no RiskPolicy is given"
            return (
                GateReason.POLICY_FOUND,
                (
                    f"TitanPhase {phase.metadata.name}: spec.policyRef.name: {spec.policy_ref.name} is not among the "
                    f"resources; {given}"
                ),
            )
    return None


def policy_hash_matches(stack: Stack) -> Outcome:
    """Require that each pin has the hash of the rules; the policy's own hash was checked when it was read."""
    hashes = {policy.metadata.name: policy.spec.hash for policy in stack.policies}
    for phase, spec in stack.traders:
        actual = hashes[spec.policy_ref.name]
        if spec.policy_ref.hash != actual:
            return (
                GateReason.POLICY_HASH_MATCHES,
                (
                    f"TitanPhase {phase.metadata.name}: spec.policyRef.hash: {spec.policy_ref.hash}; "
                    f"allowed is the hash of {spec.policy_ref.name}, {actual}"
                ),
            )
    return None


def symbols_tradable(stack: Stack) -> Outcome:
    """Require that the policy can trade each of its symbols, and names each that a phase trades."""
    policy = stack.policy()
    named = policy.spec.rules.symbols
    untradable = untradable_symbols(policy.spec.rules, stack.instruments)
    if untradable:
        return GateReason.SYMBOLS_TRADABLE, f"RiskPolicy {policy.metadata.name}: {untradable[0]}"
    for phase, spec in stack.strategies:
        # The spot market only confirms a breakout: it needs no place in the policy.
        if spec.perp_symbol not in named:
            where = f"TitanPhase {phase.metadata.name}: spec.symbols: {spec.perp_symbol}"
            allowed = f"allowed are those of {policy.metadata.name}: {', '.join(named)}"
            return GateReason.SYMBOLS_TRADABLE, f"{where}; {allowed}"
    return None


def live_approved(stack: Stack) -> Outcome:
    """Require one mode for the stack, which the policy and this version allow."""
    modes = {spec.mode: phase for phase, spec in stack.traders}
    if len(modes) > 1:
        found = ", ".join(f"{phase.metadata.name} is {mode}" for mode, phase in sorted(modes.items()))
        return GateReason.LIVE_APPROVED, f"spec.mode: {found}; allowed is one mode for the whole stack"
    mode, phase = next(iter(modes.items()))
    problem = mode_problem(stack.policy().spec.rules, mode)
    return None if problem is None else (GateReason.LIVE_APPROVED, f"TitanPhase {phase.metadata.name}: spec.{problem}")


def market_covers(stack: Stack) -> Outcome:
    """Require a market with a source, with every symbol in use, and with steps within the venue's latency."""
    name, market = next((p.metadata.name, p.spec) for p in stack.phases if isinstance(p.spec, MarketdataSpec))
    venue = next(p.spec for p in stack.phases if isinstance(p.spec, PapervenueSpec))
    where = f"TitanPhase {name}: spec."
    for phase, spec in stack.strategies:
        lacking = [symbol for symbol in spec.symbols if symbol not in market.symbols]
        if lacking:
            return (
                GateReason.MARKET_COVERS,
                f"{where}symbols: {', '.join(market.symbols)}; TitanPhase {phase.metadata.name} needs {lacking[0]} too",
            )
    unlisted = [symbol for symbol in market.symbols if symbol not in stack.instruments]
    if unlisted:
        listed = ", ".join(sorted(stack.instruments))
        return GateReason.MARKET_COVERS, f"{where}symbols: {unlisted[0]} is not listed; allowed are {listed}"
    problem = _market_problem(market.parameters, venue.parameters)
    return None if problem is None else (GateReason.MARKET_COVERS, f"{where}parameters.{problem}")


def _market_problem(market: MarketdataParameters, venue: PapervenueParameters) -> str | None:
    if market.source == "replay" and not market.files:
        return "files: empty; a replay needs recordings: give them here, or with --market FILE"
    if market.step_ms > venue.latency_ms:
        return f"stepMs: {market.step_ms}; allowed is at most the paper venue's latencyMs, {venue.latency_ms}"
    return None


# In this order: a gate may rely on those before it.
GATES: tuple[Callable[[Stack], Outcome], ...] = (
    spec_valid,
    roles_complete,
    one_policy_per_stack,
    policy_found,
    policy_hash_matches,
    symbols_tradable,
    live_approved,
    market_covers,
)


def first_refusal(stack: Stack) -> Outcome:
    """Return the first gate that refuses, or None."""
    return next((outcome for gate in GATES if (outcome := gate(stack)) is not None), None)


def _most(names: Sequence[str]) -> tuple[str, int]:
    return Counter(names).most_common(1)[0] if names else ("", 0)


def _names(phases: Sequence[TitanPhase]) -> str:
    return " and ".join(phase.metadata.name for phase in phases)
