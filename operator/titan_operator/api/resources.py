"""The two kinds of resource that people write. Source: the operator's design, section 1.

Each role of a TitanPhase is a model of its own, so a field or parameter of another role is an unknown field. The CRDs
are made of these models (:mod:`titan_operator.api.crds`), texts under fields included.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

import msgspec
from pydantic import Discriminator, Field

from titan.domain.enums import Posture
from titan.domain.policy import PolicyError, PolicyRules, parse_rules
from titan.domain.policy_hash import policy_hash, short_hash
from titan.domain.policy_rules import MODES, Mode, RuleError, WordRule
from titan.domain.symbols import is_perp
from titan_operator.api.acts import ActSpec, Signature
from titan_operator.api.field_types import (
    NAME,
    Check,
    Flag,
    Image,
    Model,
    Name,
    PhaseName,
    PolicyHash,
    PullSecrets,
    RulesError,
    Symbols,
    TextMapRule,
    Transition,
    by,
)
from titan_operator.api.parameters import (
    MarketdataParameters,
    PapervenueParameters,
    ScavengerFields,
)
from titan_operator.api.shared_objects import ComputeResources, Margin, PolicyRef, SecretRef, Storage

API_VERSION = "titan.trading/v1alpha1"

_MODE = WordRule(tuple(MODES), "")
_POSTURES = tuple(posture.name for posture in Posture)
_SIZE = "(has({0}.storage) && has({0}.storage.size) ? {0}.storage.size : '1Gi')"
_ON_DELETE = ("Drain", "Flatten", "Orphan")
_TEXTS = by(TextMapRule("an object of strings"))


class PolicyRulesRule(msgspec.Struct, frozen=True):
    """The domain's whole table of rules."""

    def read(self, value: object) -> PolicyRules:
        """Raises RulesError: each problem is a sentence that names its rule."""
        if not isinstance(value, dict):
            raise RuleError(value, "an object of rules")
        try:
            return parse_rules(value)
        except PolicyError as error:
            raise RulesError(error.problems) from error


class Metadata(Model):
    """Name, namespace, labels and annotations of a resource."""

    name: Name
    namespace: Annotated[str | None, by(NAME)] = None
    labels: Annotated[dict[str, str], _TEXTS] = Field(default_factory=dict)
    annotations: Annotated[dict[str, str], _TEXTS] = Field(default_factory=dict)


class PhaseMetadata(Metadata):
    """Metadata of a TitanPhase; names of its children begin with its name."""

    name: PhaseName


def _hash_is_of_the_rules(spec: RiskPolicySpec) -> ValueError | None:
    actual = policy_hash(spec.rules)
    if actual == spec.hash:
        return None
    return ValueError(f"the rules hash to {actual}, hash says {spec.hash}; allowed is the rules' own hash")


class RiskPolicySpec(Model):
    """Rules, their hash, and the highest posture allowed."""

    checks = (Check(None, "", _hash_is_of_the_rules),)
    transitions = (
        Transition("self.rules == oldSelf.rules", "rules: cannot be changed; a changed rule is a new RiskPolicy"),
        Transition("self.hash == oldSelf.hash", "hash: cannot be changed; a changed rule is a new RiskPolicy"),
        Transition(
            "!has(self.act) || !has(oldSelf.act) || self.act.nonce != oldSelf.act.nonce || self.act == oldSelf.act",
            "act: a changed act needs a nonce of its own",
        ),
    )

    rules: Annotated[PolicyRules, by(PolicyRulesRule())]
    """Rules that Brain and Execution enforce. All but liveApproval are required, none has a default, and none can be
    changed: a changed rule is a new RiskPolicy."""
    hash: PolicyHash
    """SHA-256 over "titan.riskpolicy.v1", a newline and the RFC 8785 JSON of rules, as `titan policy hash FILE` prints
    it."""
    posture: Annotated[Literal["FLATTEN", "HALTED", "CLOSE_ONLY", "ARMED"], by(WordRule(_POSTURES, ""))]
    """The ceiling: the highest allowed posture, from FLATTEN (close everything) over HALTED and CLOSE_ONLY to ARMED. It
    never arms by itself, and raising it needs the verb loosen on riskpolicies."""
    act: ActSpec | None = None
    """An act to carry out once, as `kubectl titan arm|halt|flatten|release` writes it."""
    signature: Signature | None = None
    """Signature of this policy."""

    @property
    def ceiling(self) -> Posture:
        """The posture as the domain's word."""
        return Posture[self.posture]


def _named_by_hash(policy: RiskPolicy) -> ValueError | None:
    digits = short_hash(policy.spec.hash)
    if policy.metadata.name.endswith(f"-{digits}"):
        return None
    return RuleError(policy.metadata.name, f"a metadata.name that ends in -{digits}, the start of spec.hash")


class RiskPolicy(Model):
    """The rules of a stack: tradable symbols, loss limits, and the highest allowed posture.

    Its name ends in the first eight digits of its hash. To change a rule, create a new policy, pin it in the stack's
    phases, and delete the old one when nothing pins it.
    """

    checks = (
        Check(
            "size(self.spec.hash) < 15 || self.metadata.name.endsWith('-' + self.spec.hash.substring(7, 15))",
            "metadata.name: allowed is a name that ends in - and the first 8 digits of spec.hash",
            _named_by_hash,
        ),
    )

    api_version: Annotated[str, by(WordRule((API_VERSION,), ""))]
    kind: Annotated[Literal["RiskPolicy"], by(WordRule(("RiskPolicy",), ""))]
    metadata: Metadata
    spec: RiskPolicySpec


class _Spec(Model):
    transitions: ClassVar[tuple[Transition, ...]] = (
        Transition("self.role == oldSelf.role", "role: cannot be changed; another role is a new TitanPhase"),
    )

    image: Image
    """Image of the process, by digest. It starts only when the digest is verified."""
    image_pull_secrets: PullSecrets = ()
    """Secrets of the same namespace, of type kubernetes.io/dockerconfigjson, with which a node pulls the image from a
    private registry. The operator verifies the image with credentials of its own."""
    suspend: Flag = False
    """Drain and stop the process, and keep its state."""
    resources: ComputeResources | None = None
    """Processor time and memory."""


class _StatefulSpec(_Spec):
    transitions = (
        *_Spec.transitions,
        Transition(
            f"{_SIZE.format('self')} == {_SIZE.format('oldSelf')}",
            "storage.size: cannot be changed; a volume is not resized",
        ),
    )

    storage: Storage = Storage()
    """Volume of the state that must survive restarts."""


class _TradingSpec(_Spec):
    # Every process that decides or sends orders is bound to a policy.
    policy_ref: PolicyRef
    """Policy that it enforces."""
    mode: Annotated[Mode, by(_MODE)]
    """paper: the simulated venue. shadow: decide, and send nothing. live: a venue with real money, which the policy
    must approve. This version runs paper; a gate refuses the others with the reason."""
    on_delete: Annotated[Literal["Drain", "Flatten", "Orphan"], by(WordRule(_ON_DELETE, ""))] = "Drain"
    """Action before a deleted phase is removed. Drain: wait until nothing is open. Flatten: close everything. Orphan:
    remove it at once and leave its orders to Execution, which itself always drains."""


class _TabledSpec(_StatefulSpec, _TradingSpec):
    database_secret_ref: SecretRef | None = None
    """Secret whose key url is the URL of the PostgreSQL database with its tables, in a schema named after its role:
    postgresql+asyncpg://user:password@host:5432/database. Without one the tables are in a file on its volume. It needs
    the volume in both cases: the volume keeps the state for times without the database."""


class MarketdataSpec(_Spec):
    """The source of prices."""

    role: Literal["marketdata"]
    """Role of the process. It cannot be changed."""
    symbols: Symbols
    """Symbols that it offers: unified symbols like BTC/USDT or BTC/USDT:USDT."""
    parameters: MarketdataParameters
    """Source of the market."""


class PapervenueSpec(_StatefulSpec):
    """The simulated venue, which keeps its account and its instruments in a process of its own."""

    role: Literal["papervenue"]
    """Role of the process. It cannot be changed."""
    parameters: PapervenueParameters = PapervenueParameters()
    """Account and latency of the simulated venue."""


class ExecutionSpec(_TabledSpec):
    """The process that sends orders."""

    role: Literal["execution"]
    """Role of the process. It cannot be changed."""
    secret_ref: SecretRef | None = None
    """Secret with the venue's keys, which live trading needs."""


class BrainSpec(_TabledSpec):
    """The process that decides."""

    role: Literal["brain"]
    """Role of the process. It cannot be changed."""


def _one_pair(spec: ScavengerSpec) -> ValueError | None:
    if len(spec.symbols) == 2 and len([symbol for symbol in spec.symbols if is_perp(symbol)]) == 1:
        return None
    return RuleError(list(spec.symbols), "symbols of one perpetual and the spot market that confirms it")


class ScavengerSpec(_TradingSpec):
    """Phase 1, which trades breakouts of one perpetual that its spot market confirms."""

    checks = (
        Check(
            "!has(self.symbols) || (size(self.symbols) == 2 && self.symbols.exists_one(s, s.contains(':')))",
            "symbols: allowed for a scavenger are one perpetual and the spot market that confirms it",
            _one_pair,
        ),
    )

    role: Literal["scavenger"]
    """Role of the process. It cannot be changed."""
    symbols: Symbols
    """One perpetual, which it trades, and the spot market that confirms."""
    margin: Margin = Margin.model_validate({"leverage": "15"})
    """Margin setting of its positions. Default: a leverage of 15."""
    parameters: ScavengerFields = Field(default_factory=dict)
    """Parameters of its signals and exits. The defaults are demo values: no claim of an edge."""

    @property
    def perp_symbol(self) -> str:
        """The perpetual that is traded."""
        return next(symbol for symbol in self.symbols if is_perp(symbol))

    @property
    def spot_symbol(self) -> str:
        """The spot market that confirms."""
        return next(symbol for symbol in self.symbols if not is_perp(symbol))


PhaseSpec = ScavengerSpec
TradingSpec = ExecutionSpec | BrainSpec | PhaseSpec
Spec = MarketdataSpec | PapervenueSpec | TradingSpec

# Read from the models, in the order of ``Spec``: a role has a spec model or is no role.
ROLES: tuple[str, ...] = tuple(get_args(model.model_fields["role"].annotation)[0] for model in get_args(Spec))


class TitanPhase(Model):
    """One process of a stack: a source of prices, a venue, Execution, Brain, or a strategy.

    All TitanPhases of a namespace make one stack, with one RiskPolicy and one posture.
    """

    api_version: Annotated[str, by(WordRule((API_VERSION,), ""))]
    kind: Annotated[Literal["TitanPhase"], by(WordRule(("TitanPhase",), ""))]
    metadata: PhaseMetadata
    spec: Annotated[Spec, Discriminator("role")]


Resource = RiskPolicy | TitanPhase
