"""Live objects as an API server keeps them after a server-side apply: who owns what, by FieldsV1."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

# Keys by which the API server merges lists; of others it replaces the whole. Source: the OpenAPI schema's
# x-kubernetes-list-map-keys.
_MAP_KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
}


def fields_of(value: Any, key: str = "") -> dict[str, Any]:
    """FieldsV1 of everything in ``value``."""
    if isinstance(value, Mapping):
        return {f"f:{name}": fields_of(item, name) for name, item in value.items()}
    if isinstance(value, list) and key in _MAP_KEYS:
        names = _MAP_KEYS[key]
        items = {json.dumps({name: item[name] for name in names}): fields_of(item) for item in value}
        # The API server sorts them: their order is not the list's.
        return {f"k:{name}": {".": {}, **items[name]} for name in sorted(items)}
    return {}


def live(
    manifest: Mapping[str, Any], by: str = "titan-operator", others: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """``manifest`` as applied ``by`` one manager; ``others`` maps managers to FieldsV1 of what they updated since."""
    made: dict[str, Any] = copy.deepcopy(dict(manifest))
    applied = {name: item for name, item in manifest.items() if name not in ("apiVersion", "kind")}
    applied["metadata"] = {
        name: item for name, item in manifest["metadata"].items() if name in ("labels", "annotations")
    }
    entries = [{"manager": by, "operation": "Apply", "fieldsV1": fields_of(applied)}]
    entries += [{"manager": name, "operation": "Update", "fieldsV1": fields} for name, fields in (others or {}).items()]
    made["metadata"] |= {"resourceVersion": "7", "uid": "1-2-3", "managedFields": entries}
    return made
