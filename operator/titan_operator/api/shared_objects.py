"""Objects of a TitanPhase's spec that several roles share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from titan.domain.policy_rules import DecimalRule, RuleError
from titan_operator.api.field_types import Check, Model, Name, PatternRule, PolicyHash, by

_WHOLE = 'a whole multiple as a string, from "1" to "125"'
_LEVERAGE = DecimalRule("1", "125", "")
_SIZE = PatternRule(r"^[1-9][0-9]{0,4}(Mi|Gi)$", 7, "a size like 512Mi or 1Gi")
_CPU = PatternRule(r"^([1-9][0-9]{0,4}m|[1-9][0-9]?)$", 6, "processors like 250m or 2, at most 99999m")
_MEMORY = PatternRule(r"^([1-9][0-9]{0,4}Mi|[1-9][0-9]?Gi)$", 7, "memory like 256Mi or 2Gi, at most 99999Mi")


class LeverageRule(msgspec.Struct, frozen=True):
    """A margin setting: venues accept whole multiples only. It is a decimal string, as every multiple."""

    highest: int = 125

    @property
    def allowed(self) -> str:
        """Allowed values of a document."""
        return _WHOLE

    def read(self, value: object) -> int:
        """Raises RuleError."""
        try:
            number = _LEVERAGE.read(value)
        except RuleError as error:
            raise RuleError(value, _WHOLE) from error
        if number != int(number):
            raise RuleError(value, _WHOLE)
        return int(number)


class PolicyRef(Model):
    """A RiskPolicy by name and hash, so that neither can change without the other."""

    name: Name
    """Name of a RiskPolicy of the same namespace."""
    hash: PolicyHash
    """Its spec.hash. All phases of a stack name the same one."""


class Margin(Model):
    """The venue's margin setting: the margin that a position takes. It is not the account's leverage."""

    leverage: Annotated[int, by(LeverageRule())]
    """Position value per margin, as it is set at the venue."""


class Storage(Model):
    """The volume with the process's state."""

    size: Annotated[str, by(_SIZE)] = "1Gi"
    """Size of the volume."""


class SecretRef(Model):
    """A Secret of the same namespace."""

    name: Name
    """Its name."""


class Amounts(Model):
    """Processor time and memory."""

    cpu: Annotated[str | None, by(_CPU)] = None
    """Processors."""
    memory: Annotated[str | None, by(_MEMORY)] = None
    """Memory."""

    @property
    def cpu_milli(self) -> int | None:
        """Thousandths of a processor."""
        if self.cpu is None:
            return None
        return int(self.cpu[:-1]) if self.cpu.endswith("m") else int(self.cpu) * 1000

    @property
    def memory_mi(self) -> int | None:
        """Mebibytes."""
        if self.memory is None:
            return None
        return int(self.memory[:-2]) * (1024 if self.memory.endswith("Gi") else 1)


def _fits(name: str) -> Check:
    unit = {"cpu": "cpu_milli", "memory": "memory_mi"}[name]

    def problem(resources: ComputeResources) -> ValueError | None:
        requests, limits = resources.requests or Amounts(), resources.limits or Amounts()
        requested, most = getattr(requests, unit), getattr(limits, unit)
        if requested is None or most is None or requested <= most:
            return None
        return RuleError(getattr(requests, name), f"requests.{name} up to limits.{name}, {getattr(limits, name)}")

    present = f"has(self.requests) && has(self.limits) && has(self.requests.{name}) && has(self.limits.{name})"
    fits = f"quantity(self.requests.{name}).compareTo(quantity(self.limits.{name})) <= 0"
    return Check(f"!({present}) || {fits}", f"requests.{name}: allowed is at most limits.{name}", problem)


class ComputeResources(Model):
    """Processor time and memory of the process. Default: the amounts that its role needs on a machine of 4 GB."""

    checks = (_fits("cpu"), _fits("memory"))

    requests: Amounts | None = None
    """Amounts that are reserved for it."""
    limits: Amounts | None = None
    """Largest amounts that it may use."""
