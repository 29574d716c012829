"""What a TitanPhase may set in ``spec.parameters``, by role."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import model_validator

from titan.domain.numbers import format_decimal
from titan.domain.policy_rules import DecimalRule, IntegerRule, RuleError, WordRule
from titan.strategies.scavenger.parameters import ScavengerParameters
from titan_operator.api.fields import Files, Model, by, refusal
from titan_operator.api.signal_parameters import ParameterTable

Source = Literal["simulated", "replay"]

_MULTIPLE = DecimalRule("1", "1000", "multiple of real time")
_MONEY = DecimalRule("1", "1000000000", "USDT")


class SpeedRule(msgspec.Struct, frozen=True):
    """``max`` (as fast as the subscribers acknowledge) or a multiple of real time as a canonical decimal string."""

    def read(self, value: object) -> str:
        """Raises RuleError."""
        if value == "max":
            return "max"
        try:
            return format_decimal(_MULTIPLE.read(value))
        except RuleError as error:
            raise RuleError(value, f'"max" or {_MULTIPLE.allowed}, a multiple of real time') from error


class MarketdataParameters(Model):
    """Where the market comes from.

    ``seed`` is the simulated market's; ``files`` are the replay's recordings; ``speed`` is ``max`` or a multiple of
    real time; ``stepMs`` is the slice of market time (0: the source's own), at most the paper venue's latency;
    ``durationS`` ends the market after that much market time (0: it does not).
    """

    source: Annotated[Source, by(WordRule(("simulated", "replay"), ""))]
    seed: Annotated[int, by(IntegerRule(0, 2**53 - 1, ""))] = 1
    files: Files = ()
    speed: Annotated[str, by(SpeedRule())] = "1"
    step_ms: Annotated[int, by(IntegerRule(0, 10_000, ""))] = 0
    duration_s: Annotated[int, by(IntegerRule(0, 10**9, ""))] = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.source == "replay" and "seed" in self.model_fields_set:
            raise refusal(RuleError(self.seed, "a seed only where source is simulated"))
        if self.source == "simulated" and self.files:
            raise refusal(RuleError(list(self.files), "files only where source is replay"))
        return self


class PapervenueParameters(Model):
    """The simulated venue: its account at the start, and the time an order takes to arrive."""

    initial_balance: Annotated[Decimal, by(_MONEY)] = Decimal(200)
    latency_ms: Annotated[int, by(IntegerRule(1, 10_000, ""))] = 50


# The symbols come from spec.symbols.
SCAVENGER = ParameterTable(ScavengerParameters, fixed=("perp_symbol", "spot_symbol"))
ScavengerFields = Annotated[Mapping[str, Any], by(SCAVENGER)]
