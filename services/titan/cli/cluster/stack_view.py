"""Pure: a namespace's resources as the API server returned them, read for people. What is absent is None: unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from titan.cli.errors import Refused

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One condition; ``status`` is ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Item:
    """A RiskPolicy or TitanPhase."""

    raw: Raw

    @property
    def kind(self) -> str:
        """``RiskPolicy`` or ``TitanPhase``."""
        return str(self.raw.get("kind", ""))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def deleting(self) -> bool:
        """Whether somebody asked for its deletion."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def seen(self) -> bool:
        """Whether the operator has ever written its status: the API server begins each with generation -1."""
        return (self.at("status", "observedGeneration") or -1) >= 0

    @property
    def observed(self) -> bool:
        """Whether its status speaks of its spec, and not of an earlier one."""
        return bool(self.at("status", "observedGeneration") == self.raw["metadata"].get("generation"))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """As written, in order."""
        return tuple(
            Condition(each["type"], each["status"], each.get("reason", ""), each.get("message", ""))
            for each in self.at("status", "conditions") or ()
        )

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type, or None."""
        return next((each for each in self.conditions if each.type == kind), None)

    def at(self, *path: str) -> Any:
        """The value at a path of keys, or None where the path ends before."""
        value: Any = self.raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def text(self, *path: str) -> str:
        """The same as text; empty where there is none."""
        value = self.at(*path)
        return "" if value is None else str(value)


@dataclass(frozen=True)
class StackView:
    """One namespace: what trades, and by which policies."""

    namespace: str
    policies: tuple[Item, ...]
    phases: tuple[Item, ...]

    @staticmethod
    def of(namespace: str, policies: Sequence[Raw], phases: Sequence[Raw]) -> StackView:
        """Sort what was listed by name."""

        def items(raws: Sequence[Raw]) -> tuple[Item, ...]:
            return tuple(sorted((Item(raw) for raw in raws), key=lambda item: item.name))

        return StackView(namespace, items(policies), items(phases))

    @property
    def pins(self) -> dict[str, list[str]]:
        """Names of phases by the name of the policy that they pin."""
        found: dict[str, list[str]] = {}
        for phase in self.phases:
            if name := phase.text("spec", "policyRef", "name"):
                found.setdefault(name, []).append(phase.name)
        return found

    def policy(self, name: str) -> Item | None:
        """The RiskPolicy of this name, or None."""
        return next((item for item in self.policies if item.name == name), None)

    def phase(self, name: str) -> Item:
        """The TitanPhase of this name.

        Raises
        ------
        Refused
            When there is none; names those that there are.
        """
        found = next((item for item in self.phases if item.name == name), None)
        if found is None:
            known = ", ".join(item.name for item in self.phases)
            has = f"there are {known}" if known else "it has no TitanPhase"
            raise Refused(f"namespace {self.namespace} has no TitanPhase {name}; {has}")
        return found

    def pinned(self) -> tuple[Item, ...]:
        """The policies that are pinned and there: one, unless a re-pin is half done.

        Raises
        ------
        Refused
            When nothing is pinned, or what is pinned is not there.
        """
        pins = self.pins
        if not pins:
            raise Refused(f"namespace {self.namespace} has no TitanPhase that pins a RiskPolicy: there is no stack")
        found = tuple(item for item in self.policies if item.name in pins)
        if not found:
            said = " and ".join(f"{name} (by {', '.join(phases)})" for name, phases in sorted(pins.items()))
            raise Refused(f"namespace {self.namespace}: pinned is {said}, but no such RiskPolicy is there")
        return found

    def one_policy(self) -> Item:
        """The stack's policy.

        Raises
        ------
        Refused
            When phases pin different ones, or none that is there.
        """
        found, pins = self.pinned(), self.pins
        if len(pins) > 1:
            said = "; ".join(f"{name} by {', '.join(phases)}" for name, phases in sorted(pins.items()))
            raise Refused(
                f"namespace {self.namespace}: pins differ: {said}; allowed is one policy for a stack: "
                "`kubectl titan policy pin NAME` pins it everywhere"
            )
        return found[0]
