"""Every constraint of a definition, one by one: what the API server says where it is broken, and its removal."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from support.crds.api import Cause

_SAYS = {
    "pattern": "in body should match",
    "maxLength": "Too long: may not be more than",
    "minLength": "in body should be at least",
    "minimum": "in body should be greater than or equal to",
    "maximum": "in body should be less than or equal to",
    "maxItems": "Too many: ",
    "minItems": "in body should have at least",
    "enum": "Unsupported value: ",
    "format": "in body must be of type",
}


@dataclass(frozen=True)
class Constraint:
    """One of them.

    Attributes
    ----------
    field
        Where the API server sees it broken, positions as ``[]``.
    kind
        Key of the schema, ``required``, ``x-kubernetes-list-type`` or ``x-kubernetes-validations``.
    says
        Part of the message.
    node
        Keys from the schema's root to where it stands.
    """

    field: str
    kind: str
    says: str
    node: tuple[str, ...]

    def broken(self, cause: Cause) -> bool:
        """Whether the cause is this constraint's own."""
        field = re.sub(r"\[\d+\]", "[]", cause.field)
        return field == self.field and self.says in cause.message

    def __str__(self) -> str:
        return f"{self.field} {self.kind} ({self.says})"


def constraints(crd: dict[str, Any]) -> list[Constraint]:
    """All of a definition's."""
    return list(_walk(_schema(crd), "", ()))


def _schema(crd: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _walk(schema: dict[str, Any], field: str, node: tuple[str, ...], key: str = "") -> Iterator[Constraint]:
    for kind, says in _SAYS.items():
        # int64 is a width and no bound of ours.
        if kind in schema and schema[kind] != "int64":
            yield Constraint(field, kind, says, node)
    for name in schema.get("required", ()):
        # The key of a list must be required: the API server takes no definition without it.
        if name != key:
            yield Constraint(_below(field, name), "required", "Required value", node)
    for item in schema.get("x-kubernetes-validations", ()):
        yield Constraint(field or "<nil>", "x-kubernetes-validations", item["message"], node)
    if "x-kubernetes-list-type" in schema:
        yield Constraint(f"{field}[]", "x-kubernetes-list-type", "Duplicate value", node)
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, _below(field, name), (*node, "properties", name))
    if "items" in schema:
        (list_key,) = schema.get("x-kubernetes-list-map-keys", [""])
        yield from _walk(schema["items"], f"{field}[]", (*node, "items"), list_key)


def _below(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def mutant(crd: dict[str, Any], removed: Iterable[Constraint], group: str) -> dict[str, Any]:
    """The definition in another group and without some constraints."""
    changed = copy.deepcopy(crd)
    changed["spec"]["group"] = group
    names = changed["spec"]["names"]
    changed["metadata"]["name"] = f"{names['plural']}.{group}"
    for name in ("categories", "shortNames"):
        names.pop(name, None)
    for constraint in removed:
        _remove(_schema(changed), constraint)
    return changed


def without_validations(crd: dict[str, Any]) -> dict[str, Any]:
    """Without its CEL rules: where a string or a list has no bound, the API server finds them too dear."""
    found = [item for item in constraints(crd) if item.kind == "x-kubernetes-validations"]
    return mutant(crd, found, crd["spec"]["group"])


def _remove(schema: dict[str, Any], constraint: Constraint) -> None:
    node: Any = schema
    for key in constraint.node:
        node = node[key]
    match constraint.kind:
        case "required":
            node["required"] = [name for name in node["required"] if name != constraint.field.rpartition(".")[2]]
        case "x-kubernetes-validations":
            kept = [item for item in node[constraint.kind] if item["message"] != constraint.says]
            node[constraint.kind] = kept
        case "x-kubernetes-list-type":
            del node[constraint.kind]
            node.pop("x-kubernetes-list-map-keys", None)
        case kind:
            del node[kind]
