"""Generated parts of the charts: the table of values in each README, the policies, and the trust policy's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from titan_operator.supplychain.trust import trust_policy_schema

ROOT = Path(__file__).resolve().parent.parent
MARKER = "## Values\n"
POLICIES = ("demo", "micro", "standard", "alpha")


@dataclass(frozen=True)
class Value:
    """One key of a values.yaml: ``default`` is empty for a group of others."""

    key: str
    default: str
    meaning: str


def values_of(text: str) -> list[Value]:
    """Every leaf, and every group with a comment, in the file's order."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("a values.yaml is a mapping")
    return list(_walk(root, "", text.splitlines()))


def _walk(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        meaning = _comment(lines, key_node.start_mark.line)
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            if meaning:
                yield Value(key, "", meaning)
            yield from _walk(value_node, f"{key}.", lines)
            continue
        default = "".join(line.strip() for line in _text(value_node, lines))
        yield Value(key, default, meaning)


def _text(node: yaml.Node, lines: list[str]) -> list[str]:
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return [lines[start.line][start.column : end.column]]
    return [lines[start.line][start.column :], *lines[start.line + 1 : end.line], lines[end.line][: end.column]]


def _comment(lines: list[str], line: int) -> str:
    """The comment that ends right above ``line``, as one sentence after the other."""
    indent = len(lines[line]) - len(lines[line].lstrip())
    found: list[str] = []
    for above in reversed(lines[:line]):
        if not above.startswith(" " * indent + "#"):
            break
        found.append(above.strip().removeprefix("#").strip())
    return " ".join(reversed(found))


def readme(chart: Path) -> str:
    """The chart's README with its table made anew below the marker; what stands above is written by hand."""
    text = (chart / "README.md").read_text(encoding="utf-8")
    above, marker, _ = text.partition(MARKER)
    if not marker:
        raise ValueError(f"{chart.name}/README.md: no line {MARKER.strip()!r}; the table goes below it")
    values = values_of((chart / "values.yaml").read_text(encoding="utf-8"))
    rows = [f"| `{value.key}` | {_code(value.default)} | {_cell(value.meaning)} |" for value in values]
    head = ["Made from `values.yaml` by `make generate`.", "", "| Key | Default | What it is |", "|---|---|---|"]
    return above + MARKER + "\n" + "\n".join([*head, *rows]) + "\n"


def values_schema(text: str) -> str:
    """Chart titan's ``values.schema.json`` with the trust policy's schema; an empty one is none at all."""
    schema = json.loads(text)
    whole = {"if": {"minProperties": 1}, "then": _closed(trust_policy_schema())}
    schema["properties"]["trustPolicy"] = {"type": "object", **whole}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    # The API server prunes an unknown field silently, so Helm must refuse it: it is a typing error.
    found = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in found:
        found["properties"] = {name: _closed(inner) for name, inner in found["properties"].items()}
        found["additionalProperties"] = False
    if "items" in found:
        found["items"] = _closed(found["items"])
    return found


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file by its path in the repository."""
    charts = sorted(path.parent for path in (root / "charts").glob("*/Chart.yaml"))
    found = {chart.relative_to(root) / "README.md": readme(chart) for chart in charts}
    schema = Path("charts/titan/values.schema.json")
    found[schema] = values_schema((root / schema).read_text(encoding="utf-8"))
    for name in POLICIES:
        text = (root / "policies" / f"{name}.yaml").read_text(encoding="utf-8")
        found[Path("charts/titan-stack/policies") / f"{name}.yaml"] = text
    return found
