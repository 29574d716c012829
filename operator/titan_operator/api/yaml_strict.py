"""Strict YAML of resources: no duplicate keys, no aliases, no surprises in plain scalars.

Only ``true`` and ``false`` are booleans, integers are decimal, dates stay strings, and a float keeps its spelling (as
:class:`titan.domain.policy_rules.NumberLiteral`), so that a message can show what was written.
"""

from __future__ import annotations

import re

import yaml

from titan.domain.policy_rules import NumberLiteral, shown

MAX_BYTES = 1024 * 1024
_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 40


class YamlError(ValueError):
    """The YAML is malformed or uses a feature that resources may not; the message is one sentence."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with resolvers and constructors of its own; it never builds anything but plain values."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.get_mark().line + 1
            raise YamlError(f"line {line}: an alias (*NAME); allowed are plain values")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise YamlError(f"nested deeper than {_MAX_DEPTH} levels; allowed are resources")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _mapping(loader: _Loader, node: yaml.Node) -> dict[str, object]:
    assert isinstance(node, yaml.MappingNode)
    values: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
            raise YamlError(f"line {line}: a key that is no string; allowed are strings")
        key = str(key_node.value)
        if key in values:
            raise YamlError(f"line {line}: {shown(key)} is given twice; allowed is once")
        values[key] = loader.construct_object(value_node, deep=True)
    return values


def _integer(_: _Loader, node: yaml.Node) -> int | NumberLiteral:
    text = str(node.value)
    return int(text) if len(text) <= 20 else NumberLiteral(text, "an integer")


def _other(_: _Loader, node: yaml.Node) -> object:
    raise YamlError(f"line {node.start_mark.line + 1}: the tag {shown(str(node.tag))}; allowed are plain values")


_Loader.yaml_implicit_resolvers = {}  # SafeLoader's, of YAML 1.1, would read yes, 1:30 and dates
for _name, _pattern, _first in (
    ("bool", r"^(true|false)$", "tf"),
    ("null", r"^(~|null|)$", "~n"),
    ("int", r"^-?[0-9]+$", "-0123456789"),
    (
        "float",
        r"^([-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|NaN)$",
        "-+.0123456789N",
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), [*_first, *([""] if _name == "null" else [])])
_Loader.add_constructor(_TAG + "map", _mapping)
_Loader.add_constructor(_TAG + "int", _integer)
_Loader.add_constructor(_TAG + "float", lambda _, node: NumberLiteral(str(node.value)))
_Loader.add_constructor(_TAG + "bool", lambda _, node: node.value == "true")
_Loader.add_constructor(None, _other)
for _name in ("binary", "timestamp", "omap", "pairs", "set", "merge", "value"):
    _Loader.add_constructor(_TAG + _name, _other)


def load_documents(text: str) -> list[object]:
    """Read every non-empty document of a YAML text.

    Values are str, int, bool, None, list, dict and NumberLiteral.

    Raises
    ------
    YamlError
        With the line: malformed YAML, a key given twice, an alias, a tag.
    """
    if len(text) > MAX_BYTES:
        raise YamlError(f"{len(text)} characters; allowed are {MAX_BYTES}")
    try:
        return [value for value in yaml.load_all(text, Loader=_Loader) if value is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        raise YamlError(
            f"{where}malformed YAML: {error.problem or error.context}; allowed are YAML documents"
        ) from error
    except yaml.YAMLError as error:
        raise YamlError(f"malformed YAML: {' '.join(str(error).split())}; allowed are YAML documents") from error
