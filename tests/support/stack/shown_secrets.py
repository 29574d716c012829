"""Search for Secrets in commands: every process of a machine can read a command line, and events and logs show it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_REFERENCE = re.compile(r"\$(?:\((\w+)\)|\{(\w+)|(\w+))")
_COMMANDS = ("command", "args")


def secrets_in_commands(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """List commands of these manifests that name a Secret's variable, or hold a value of their Secrets.

    Every ``command`` and ``args`` of every container is searched, in probes and hooks too. A variable is secret if it
    is set from a Secret, or from the value of such a variable.

    Returns
    -------
    list of str
        ``KIND/NAME: container CONTAINER: NAME`` for each.
    """
    values = {value for document in documents if document["kind"] == "Secret" for value in _values(document)}
    commands = []
    for document in documents:
        where = f"{document['kind']}/{document['metadata']['name']}"
        for container in _containers(document):
            variables = _variables(container)
            for word in _words(container):
                named = {name for match in _REFERENCE.findall(word) for name in match if name}
                shown = sorted(named & variables) + ["a Secret's value" for value in values if value in word]
                commands += [f"{where}: container {container['name']}: {name}" for name in shown]
    return commands


def _values(secret: Mapping[str, Any]) -> list[str]:
    encoded = [base64.b64decode(value).decode() for value in (secret.get("data") or {}).values()]
    return [*encoded, *(secret.get("stringData") or {}).values()]


def _containers(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the containers of every pod template, whatever the kind."""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            if name in ("containers", "initContainers"):
                yield from inside
            else:
                yield from _containers(inside)
    elif isinstance(value, list):
        for item in value:
            yield from _containers(item)


def _variables(container: Mapping[str, Any]) -> set[str]:
    """List secret variables; with envFrom a Secret's keys are unknown, so every name that nothing else sets."""
    secret: set[str] = set()
    for item in container.get("env") or ():
        named = {name for match in _REFERENCE.findall(str(item.get("value", ""))) for name in match if name}
        if "secretKeyRef" in (item.get("valueFrom") or {}) or named & secret:
            secret.add(item["name"])
    if any("secretRef" in source for source in container.get("envFrom") or ()):
        plain = {item["name"] for item in container.get("env") or ()}
        used = {name for word in _words(container) for match in _REFERENCE.findall(word) for name in match if name}
        secret |= used - plain
    return secret


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inside in value.items():
            if name in _COMMANDS and isinstance(inside, list):
                yield from map(str, inside)
            else:
                yield from _words(inside)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
