"""Fields of ``spec.parameters`` of a TitanPhase, by role."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from titan.domain.numbers import format_decimal
from titan.domain.policy_rules import DecimalRule, IntegerRule, RuleError, WordRule
from titan.strategies.scavenger.parameters import ASCENDING, WEIGHTS, ScavengerParameters
from titan_operator.api.field_types import Check, Files, Model, by
from titan_operator.api.signal_parameters import ParameterTable

Source = Literal["simulated", "replay"]

_MULTIPLE = DecimalRule("1", "1000", "multiple of real time")
_MONEY = DecimalRule("1", "1000000000", "USDT")


class SpeedRule(msgspec.Struct, frozen=True):
    """``max`` (as fast as the subscribers acknowledge) or a multiple of real time as a canonical decimal string."""

    multiple: DecimalRule = _MULTIPLE

    @property
    def allowed(self) -> str:
        """Allowed values of a document."""
        return f'"max" or {self.multiple.allowed}, a multiple of real time'

    def read(self, value: object) -> str:
        """Raises RuleError."""
        if value == "max":
            return "max"
        try:
            return format_decimal(self.multiple.read(value))
        except RuleError as error:
            raise RuleError(value, self.allowed) from error


def _seed_is_of_a_simulation(market: MarketdataParameters) -> ValueError | None:
    if market.source == "replay" and "seed" in market.model_fields_set:
        return RuleError(market.seed, "a seed only where source is simulated")
    return None


def _files_are_of_a_replay(market: MarketdataParameters) -> ValueError | None:
    if market.source == "simulated" and market.files:
        return RuleError(list(market.files), "files only where source is replay")
    return None


class MarketdataParameters(Model):
    """Source of the market."""

    checks = (
        Check(
            "!has(self.seed) || !has(self.source) || self.source == 'simulated'",
            "seed: allowed only where source is simulated",
            _seed_is_of_a_simulation,
        ),
        Check(
            "!has(self.files) || size(self.files) == 0 || !has(self.source) || self.source == 'replay'",
            "files: allowed only where source is replay",
            _files_are_of_a_replay,
        ),
    )

    source: Annotated[Source, by(WordRule(("simulated", "replay"), ""))]
    """simulated: a market made up from a seed. replay: recordings."""
    seed: Annotated[int, by(IntegerRule(0, 2**53 - 1, ""))] = 1
    """Seed of the simulated market: the same seed makes the same market."""
    files: Files = ()
    """Recordings of the replay."""
    speed: Annotated[str, by(SpeedRule())] = "1"
    """Multiple of real time; max is as fast as the subscribers acknowledge."""
    step_ms: Annotated[int, by(IntegerRule(0, 10_000, ""))] = 0
    """Slice of market time in ms, at most the paper venue's latencyMs; 0: the source's own."""
    duration_s: Annotated[int, by(IntegerRule(0, 10**9, ""))] = 0
    """Market time in s after which the market ends; 0: never."""


class PapervenueParameters(Model):
    """Account and latency of the simulated venue."""

    initial_balance: Annotated[Decimal, by(_MONEY)] = Decimal(200)
    """USDT in the account at its first start."""
    latency_ms: Annotated[int, by(IntegerRule(1, 10_000, ""))] = 50
    """Time from sending an order to its arrival, in ms."""


# The symbols come from spec.symbols.
SCAVENGER = ParameterTable(
    ScavengerParameters, fixed=("perp_symbol", "spot_symbol"), ascending=ASCENDING, one_above_zero=WEIGHTS
)
ScavengerFields = Annotated[Mapping[str, Any], by(SCAVENGER)]
