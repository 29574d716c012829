"""The two kinds of resource. Source: the operator's design, section 1.

A TitanPhase's fields depend on its role: each role is a model of its own, so a field or parameter of another role is
an unknown field.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Discriminator, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from titan.domain.kinds import Posture
from titan.domain.policy import PolicyError, PolicyRules, parse_rules
from titan.domain.policy_hash import policy_hash, short_hash
from titan.domain.policy_rules import DecimalRule, RuleError, WordRule
from titan.domain.symbols import is_perp
from titan_operator.api.fields import (
    Flag,
    Image,
    Model,
    Name,
    PatternRule,
    PolicyHash,
    Symbols,
    by,
    refusal,
)
from titan_operator.api.parameters import (
    MarketdataParameters,
    PapervenueParameters,
    ScavengerFields,
)

API_VERSION = "titan.trading/v1alpha1"

_MODE = WordRule(("paper", "live"), "")
_SIZE = PatternRule(r"^[1-9][0-9]{0,4}(Mi|Gi)$", "a size like 512Mi or 1Gi")
_LEVERAGE = DecimalRule("1", "125", "")
_WHOLE = 'a whole multiple as a string, from "1" to "125"'
_POSTURES = ("FLATTEN", "HALTED", "CLOSE_ONLY", "ARMED")


def _rules(value: object) -> PolicyRules:
    if not isinstance(value, dict):
        raise refusal(RuleError(value, "an object of rules"))
    try:
        return parse_rules(value)
    except PolicyError as error:
        # Each problem is a sentence that names its rule: the loader makes one problem of its own of each.
        raise PydanticCustomError(
            "titan_rules", "{problem}", {"problem": str(error), "problems": list(error.problems)}
        ) from error


class Metadata(Model):
    """The name by which other resources refer to this one."""

    name: Name


class RiskPolicySpec(Model):
    """Rules, their hash, and the highest posture allowed: a ceiling, never a command to arm."""

    rules: Annotated[PolicyRules, PlainValidator(_rules)]
    hash: PolicyHash
    posture: Annotated[Literal["FLATTEN", "HALTED", "CLOSE_ONLY", "ARMED"], by(WordRule(_POSTURES, ""))]

    @model_validator(mode="after")
    def _hash_is_of_the_rules(self) -> Self:
        actual = policy_hash(self.rules)
        if actual != self.hash:
            raise refusal(
                ValueError(f"the rules hash to {actual}, hash says {self.hash}; allowed is the rules' own hash")
            )
        return self

    @property
    def ceiling(self) -> Posture:
        """The posture as the domain's word."""
        return Posture[self.posture]


class RiskPolicy(Model):
    """One risk policy. Its name ends in the first eight digits of its hash: a changed rule is a new object."""

    api_version: Annotated[str, by(WordRule((API_VERSION,), ""))]
    kind: Annotated[Literal["RiskPolicy"], by(WordRule(("RiskPolicy",), ""))]
    metadata: Metadata
    spec: RiskPolicySpec

    @model_validator(mode="after")
    def _named_by_hash(self) -> Self:
        digits = short_hash(self.spec.hash)
        if not self.metadata.name.endswith(f"-{digits}"):
            raise refusal(
                RuleError(self.metadata.name, f"a metadata.name that ends in -{digits}, the start of spec.hash")
            )
        return self


class PolicyRef(Model):
    """Which policy: by name and by hash, so that neither can change under the other."""

    name: Name
    hash: PolicyHash


class LeverageRule(msgspec.Struct, frozen=True):
    """A margin setting: venues take whole multiples only; written as every multiple is, as a decimal string."""

    def read(self, value: object) -> int:
        """Raises RuleError."""
        try:
            number = _LEVERAGE.read(value)
        except RuleError as error:
            raise RuleError(value, _WHOLE) from error
        if number != int(number):
            raise RuleError(value, _WHOLE)
        return int(number)


class Margin(Model):
    """The venue's margin setting: how much margin a position takes. It is not the account's leverage."""

    leverage: Annotated[int, by(LeverageRule())]


class Storage(Model):
    """A volume's size, where the role keeps state."""

    size: Annotated[str, by(_SIZE)] = "1Gi"


class _Spec(Model):
    image: Image
    suspend: Flag = False


class _TradingSpec(_Spec):
    # What takes part in deciding and sending orders is bound to a policy.
    policy_ref: PolicyRef
    mode: Annotated[Literal["paper", "live"], by(_MODE)]
    on_delete: Annotated[Literal["Drain", "Flatten", "Orphan"], by(WordRule(("Drain", "Flatten", "Orphan"), ""))] = (
        "Drain"
    )


class MarketdataSpec(_Spec):
    """The source of prices; ``symbols`` is what it offers."""

    role: Literal["marketdata"]
    symbols: Symbols
    parameters: MarketdataParameters


class PapervenueSpec(_Spec):
    """The simulated venue: its account and what it lists are of its own process."""

    role: Literal["papervenue"]
    parameters: PapervenueParameters = PapervenueParameters()
    storage: Storage = Storage()


class ExecutionSpec(_TradingSpec):
    """The one that sends orders."""

    role: Literal["execution"]
    storage: Storage = Storage()


class BrainSpec(_TradingSpec):
    """The one that decides."""

    role: Literal["brain"]
    storage: Storage = Storage()


class ScavengerSpec(_TradingSpec):
    """Phase 1; ``symbols`` are one perpetual, which it trades, and the spot market that confirms."""

    role: Literal["scavenger"]
    symbols: Symbols
    margin: Margin = Margin.model_validate({"leverage": "15"})
    parameters: ScavengerFields = MappingProxyType({})

    @model_validator(mode="after")
    def _one_pair(self) -> Self:
        if len(self.symbols) != 2 or len([symbol for symbol in self.symbols if is_perp(symbol)]) != 1:
            raise refusal(
                RuleError(list(self.symbols), "symbols of one perpetual and the spot market that confirms it")
            )
        return self

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

ROLES = ("marketdata", "papervenue", "execution", "brain", "scavenger")


class TitanPhase(Model):
    """One process of the stack."""

    api_version: Annotated[str, by(WordRule((API_VERSION,), ""))]
    kind: Annotated[Literal["TitanPhase"], by(WordRule(("TitanPhase",), ""))]
    metadata: Metadata
    spec: Annotated[Spec, Discriminator("role")]


Resource = RiskPolicy | TitanPhase
