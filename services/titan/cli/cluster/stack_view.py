"""Pure: a namespace's resources as the API server returned them. An absent field is None: unknown."""

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
        """``metadata.name``."""
        return str(self.raw["metadata"]["name"])

    @property
    def deleting(self) -> bool:
        """Whether its deletion was requested."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def seen(self) -> bool:
        """Whether the operator has ever written its status: the API server starts each with generation -1."""
        return (self.at("status", "observedGeneration") or -1) >= 0

    @property
    def observed(self) -> bool:
        """Whether its status is of the present spec, and not of an earlier one."""
        return bool(self.at("status", "observedGeneration") == self.raw["metadata"].get("generation"))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Its conditions, in the order of the status."""
        return tuple(
            Condition(each["type"], each["status"], each.get("reason", ""), each.get("message", ""))
            for each in self.at("status", "conditions") or ()
        )

    def condition(self, kind: str) -> Condition | None:
        """Find the condition of this type, or None."""
        return next((each for each in self.conditions if each.type == kind), None)

    def at(self, *path: str) -> Any:
        """Read the value at a path of keys; None where the path does not exist."""
        value: Any = self.raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def text(self, *path: str) -> str:
        """Read the value at a path as text; empty where the path does not exist."""
        value = self.at(*path)
        return "" if value is None else str(value)


@dataclass(frozen=True)
class StackView:
    """The phases and policies of one namespace."""

    namespace: str
    policies: tuple[Item, ...]
    phases: tuple[Item, ...]

    @staticmethod
    def of(namespace: str, policies: Sequence[Raw], phases: Sequence[Raw]) -> StackView:
        """Make a view of listed resources, sorted by name."""

        def items(raws: Sequence[Raw]) -> tuple[Item, ...]:
            return tuple(sorted((Item(raw) for raw in raws), key=lambda item: item.name))

        return StackView(namespace, items(policies), items(phases))

    @property
    def pins(self) -> dict[str, list[str]]:
        """Names of phases by the name of the policy that they pin."""
        pins: dict[str, list[str]] = {}
        for phase in self.phases:
            if name := phase.text("spec", "policyRef", "name"):
                pins.setdefault(name, []).append(phase.name)
        return pins

    def policy(self, name: str) -> Item | None:
        """Find the RiskPolicy of this name, or None."""
        return next((item for item in self.policies if item.name == name), None)

    def phase(self, name: str) -> Item:
        """Find the TitanPhase of this name.

        Raises
        ------
        Refused
            When there is none; the message lists the existing ones.
        """
        phase = next((item for item in self.phases if item.name == name), None)
        if phase is None:
            known = ", ".join(item.name for item in self.phases)
            has = f"there are {known}" if known else "it has no TitanPhase"
            raise Refused(f"namespace {self.namespace} has no TitanPhase {name}; {has}")
        return phase

    def pinned(self) -> tuple[Item, ...]:
        """List the existing policies that are pinned: one, unless a pin is half done.

        Raises
        ------
        Refused
            When nothing is pinned, or no pinned policy exists.
        """
        pins = self.pins
        if not pins:
            raise Refused(f"namespace {self.namespace} has no TitanPhase that pins a RiskPolicy: there is no stack")
        pinned = tuple(item for item in self.policies if item.name in pins)
        if not pinned:
            names = " and ".join(f"{name} (by {', '.join(phases)})" for name, phases in sorted(pins.items()))
            raise Refused(
                f"namespace {self.namespace}: the pinned policy does not exist: {names}; apply it, or pin another one"
            )
        return pinned

    def one_policy(self) -> Item:
        """Return the stack's policy.

        Raises
        ------
        Refused
            When phases pin different policies, or none that exists.
        """
        pinned, pins = self.pinned(), self.pins
        if len(pins) > 1:
            differing = "; ".join(f"{name} by {', '.join(phases)}" for name, phases in sorted(pins.items()))
            raise Refused(
                f"namespace {self.namespace}: pins differ: {differing}; allowed is one policy for a stack: "
                "`kubectl titan policy pin NAME` pins it everywhere"
            )
        return pinned[0]
