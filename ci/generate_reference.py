"""The reference of the resources as a page, from the definitions that the API server gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from titan_operator.api.crds import crds

_HEAD = """\
# Resources

Made from `operator/titan_operator/api` by `make generate`; change it there. `kubectl explain titanphase.spec` tells the
same. Everything here is checked by the API server and once more by the operator, and by `titan up` on a laptop.
"""


def documents() -> dict[Path, str]:
    """The page by its path in the repository."""
    sections = (_kind(crd) for crd in crds().values())
    return {Path("docs") / "resources.md": "\n".join([_HEAD, *sections])}


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
        # What a role may say stands at its field, as does what one value may be.
        if " for role " not in item["message"]:
            yield f"| `{path}` | rule | {_cell(item['message'])} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _type(schema: dict[str, Any]) -> str:
    return f"list of {schema['items']['type']}" if schema["type"] == "array" else str(schema["type"])
