"""References from the models: of the resources, as the API server gets them, and of the trust policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from titan_operator.api.crds import crds
from titan_operator.supplychain.trust import trust_policy_schema

_TRUST = Path("docs") / "trust.md"
_MARKER = "## Every field\n"
_ROOT = Path(__file__).resolve().parent.parent
_HEAD = """\
# Resources

Made from `operator/titan_operator/api` by `make generate`; change it there. `kubectl explain titanphase.spec` tells the
same. Everything here is checked by the API server and once more by the operator, and by `titan up` on a laptop.
"""


def documents() -> dict[Path, str]:
    """The pages by their path in the repository."""
    sections = (_kind(crd) for crd in crds().values())
    return {Path("docs") / "resources.md": "\n".join([_HEAD, *sections]), _TRUST: _trust()}


def _trust() -> str:
    """The page on trust with its table made anew below the marker; what stands above is written by hand."""
    above, marker, _ = (_ROOT / _TRUST).read_text(encoding="utf-8").partition(_MARKER)
    if not marker:
        raise ValueError(f"{_TRUST}: no line {_MARKER.strip()!r}; the table goes below it")
    rows = [row.replace("| `.", "| `", 1) for row in _rows(trust_policy_schema(), "")]
    head = ["Made from the model by `make generate`.", "", "| Field | Type | |", "|---|---|---|"]
    return above + marker + "\n" + "\n".join([*head, *rows]) + "\n"


def _kind(crd: dict[str, Any]) -> str:
    names, schema = crd["spec"]["names"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    short = "".join(f", short name `{name}`" for name in names.get("shortNames", ()))
    scope = "in a namespace" if crd["spec"]["scope"] == "Namespaced" else "of the cluster"
    lines = [f"## {names['kind']}", "", f"`{crd['spec']['group']}`, {scope}{short}.", "", schema["description"], ""]
    for part in ("spec", "status"):
        if part in schema["properties"]:
            lines += [f"### {part}", "", "| Field | Type | |", "|---|---|---|"]
            lines += _rows(schema["properties"][part], part)
            lines.append("")
    return "\n".join(lines)


def _rows(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        required = " **Required.**" if name in schema.get("required", ()) else ""
        words = _cell(inner["description"])
        yield f"| `{path}.{name}` | {_type(inner)} | {words}{required} |"
        yield from _rows(inner.get("items", inner), f"{path}.{name}{'[]' if 'items' in inner else ''}")
    for item in schema.get("x-kubernetes-validations", ()) if schema["type"] == "object" else ():
        # Restrictions to roles and of single values stand at their fields.
        if " for role " not in item["message"]:
            yield f"| `{path}` | rule | {_cell(item['message'])} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _type(schema: dict[str, Any]) -> str:
    return f"list of {schema['items']['type']}" if schema["type"] == "array" else str(schema["type"])
