"""Pure: find who set which field of a live object, by its ``metadata.managedFields``.

Source: Kubernetes, "Server-Side Apply" (FieldsV1: ``f:`` a field, ``k:`` a list item by its keys, ``v:`` a value of a
set, ``i:`` an index, ``.`` the object or item itself).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from titan_operator.api.names import FIELD_MANAGER

# Keys and indices from the object's root.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Manager:
    """Manager of fields: ``applies`` means by server-side apply, else by create, update or patch."""

    name: str
    applies: bool
    fields: Mapping[str, Any]

    @property
    def ours(self) -> bool:
        """Whether the manager is the operator."""
        return self.name == FIELD_MANAGER


def managers(live: Mapping[str, Any]) -> tuple[Manager, ...]:
    """Return all managers of fields of ``live``, without those that write its status only."""
    entries = live.get("metadata", {}).get("managedFields") or ()
    return tuple(
        Manager(str(entry.get("manager", "")), entry.get("operation") == "Apply", entry.get("fieldsV1") or {})
        for entry in entries
        if entry.get("subresource") != "status"
    )


def owned(fields: Mapping[str, Any], node: Any, at: Location = ()) -> Iterator[Location]:
    """Locate the ``fields`` of a manager in ``node``: leaves, and items or objects that it created."""
    for key, below in fields.items():
        if key == ".":
            yield at
            continue
        step = step_of(key, node)
        if step is None:
            continue
        if below:
            yield from owned(below, node[step], (*at, step))
        else:
            yield (*at, step)


def projected(fields: Mapping[str, Any], node: Any) -> Any:
    """Return the part of ``node`` that a manager's ``fields`` cover: its own values, without defaults and others'."""
    steps = [(step, below) for key, below in fields.items() if key != "." and (step := step_of(key, node)) is not None]
    if isinstance(node, Mapping):
        return {step: projected(below, node[step]) if below else node[step] for step, below in steps}
    # In the order of the list: the keys in managedFields are sorted by the alphabet.
    ordered = sorted(steps, key=lambda item: item[0])
    return [projected(below, node[step]) if below else node[step] for step, below in ordered]


def others_of(live: Mapping[str, Any], at: Location) -> tuple[str, ...]:
    """Name the managers other than the operator that set something at or below ``at``."""
    return tuple(
        dict.fromkeys(
            manager.name
            for manager in managers(live)
            if not manager.ours and any(place[: len(at)] == at for place in owned(manager.fields, live))
        )
    )


def step_of(key: str, node: Any) -> Any:
    """Return the key or index in ``node`` that a key of FieldsV1 means; None where the node no longer has it."""
    kind, _, content = key.partition(":")
    if kind == "f":
        return content if isinstance(node, dict) and content in node else None
    if not isinstance(node, list | tuple):
        return None
    if kind == "i":
        index = int(content)
        return index if index < len(node) else None
    wanted = _meant(content)
    for index, item in enumerate(node):
        if kind == "v" and item == wanted:
            return index
        if kind == "k" and isinstance(item, dict) and all(item.get(name) == value for name, value in wanted.items()):
            return index
    return None


@lru_cache(maxsize=256)
def _meant(content: str) -> Any:
    """Decode the JSON in a key of FieldsV1. Every object has the same few keys, and nothing changes the result."""
    return json.loads(content)
