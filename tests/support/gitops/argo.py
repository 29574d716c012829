"""Argo CD's health of a titan.trading resource: the shipped Lua, run as Argo CD runs it, over the object as it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import lupa
import yaml

from support.stack.local_processes import REPOSITORY

HEALTH_LUA = REPOSITORY / "examples" / "gitops" / "argocd" / "health.lua"
ARGOCD_CM = HEALTH_LUA.with_name("argocd-cm.yaml")
STATUSES = ("Healthy", "Progressing", "Degraded", "Suspended")


@functools.cache
def configured_lua() -> str:
    """Return the script that Argo CD would run: the text in the ConfigMap."""
    settings = yaml.safe_load(ARGOCD_CM.read_text())
    customizations = yaml.safe_load(settings["data"]["resource.customizations"])
    return str(customizations["titan.trading/*"]["health.lua"])


def health(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Return ``(status, message)`` of an object; as in Argo CD, the script does not see one that is being deleted."""
    if "deletionTimestamp" in obj["metadata"]:
        return "Progressing", "Pending deletion"
    # Argo CD gives the script no way out of its sandbox; neither does this.
    lua = lupa.LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
    for name in ("io", "os", "require", "package", "debug", "load", "loadfile", "dofile"):
        lua.globals()[name] = None
    lua.globals()["obj"] = lua.table_from(obj, recursive=True)
    answer = lua.execute(configured_lua())
    status, message = str(answer["status"]), str(answer["message"])
    assert status in STATUSES, f"Argo CD knows no health {status!r}"
    return status, message
