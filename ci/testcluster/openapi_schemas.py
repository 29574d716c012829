"""JSON schemas for kubeconform, made of an API server's own OpenAPI document, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Path of a schema that kubeconform reads, below the folder of the schemas.
LOCATION = "{{ .ResourceKind }}-{{ .ResourceAPIVersion }}-{{ .Group }}.json"


def write_schemas(documents: Iterable[Mapping[str, Any]], folder: Path) -> int:
    """Write one schema for each kind of ``documents`` (``/openapi/v3/…``, decoded); return how many.

    They are strict: a field that the kind does not have is refused.
    """
    written = 0
    for document in documents:
        found = document["components"].get("schemas", {})  # none where a group holds only what is never sent
        components = {name: _strict(schema) for name, schema in found.items()}
        for name, schema in found.items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                # kubeconform takes the version for the group of the core's kinds, which have none.
                group = kind["group"] or kind["version"]
                file = f"{kind['kind'].lower()}-{kind['version']}-{group}.json"
                body = {
                    "allOf": [{"$ref": f"#/components/schemas/{name}"}],
                    "components": {"schemas": components},
                }
                (folder / file).write_text(json.dumps(body))
                written += 1
    return written


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {key: _strict(value) for key, value in node.items()}
    # "properties" may also be the name of a field, as within a CRD's own schema: then it holds no schemas' keywords.
    closed = "additionalProperties" not in node and not node.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(node.get("properties"), dict) and node.get("type") == "object" and closed:
        strict["additionalProperties"] = False
    return strict
