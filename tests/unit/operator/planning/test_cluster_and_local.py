"""One plan for both worlds: a cluster runs what a laptop runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.stack.plans import POLICIES, planned
from support.stack.rendered import STACK_ROLES, changed, container, environment, pod, rendered, workload
from titan_operator.api import names
from titan_operator.planning.plan import Plan
from titan_operator.render.local import LocalOptions, render_local
from titan_operator.render.revision import revision

_FOLDERS = ("/etc/titan/config/", "/etc/titan/live/", "/var/lib/titan", "/etc/titan/tls")
# Of a place, not of what the process does.
_OF_PLACE = {"TITAN_BIND", "TITAN_STATE_DIR", "TITAN_TLS_DIR", "TITAN_PEERS", "TITAN_LOG_FORMAT", "TITAN_LOG_LEVEL"}


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("role", STACK_ROLES)
def test_a_cluster_runs_what_a_laptop_runs(policy: str, role: str) -> None:
    """The same configuration, ports, identity and hash; only folders and addresses differ."""
    plan = planned(policy)
    local = next(
        item for item in render_local(plan, LocalOptions("/state", "/opt/bin", "/home/ana")) if item.role == role
    )
    assert configuration_here(local.env, local.files) == configuration_there(role, plan)
    # Identity: the certificate's name is the role's, which both tell the process; peers are the same by name.
    ours, theirs = (
        _peers(env["TITAN_PEERS"]) if "TITAN_PEERS" in env else {} for env in (environment(role, plan), local.env)
    )
    assert {peer: address.rpartition(":")[2] for peer, address in ours.items()} == {
        peer: address.rpartition(":")[2] for peer, address in theirs.items()
    }
    assert local.argv[0].rpartition("/")[2] == container(role, plan)["command"][0]
    assert len(local.argv) == len(container(role, plan)["command"]) == 1
    template = workload(role, plan).manifest["spec"]["template"]
    assert template["metadata"]["annotations"][names.REVISION] == revision(plan.workload(role), plan)


def configuration_here(env: Mapping[str, str], files: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: json.loads(files[value]) if value in files else value
        for name, value in env.items()
        if name not in _OF_PLACE
    }


def configuration_there(role: str, plan: Plan) -> dict[str, Any]:
    """What the process finds: settings, those in files read from the objects that the pod mounts."""
    children = rendered(plan)
    files: dict[str, str] = {}
    mounts = {item["name"]: item["mountPath"] for item in container(role, plan)["volumeMounts"]}
    for volume in pod(role, plan)["volumes"]:
        sources = [item["configMap"] for item in volume.get("projected", {}).get("sources", ())]
        sources += [volume["configMap"]] if "configMap" in volume else []
        for source in sources:
            data = children["ConfigMap", source["name"]].manifest["data"]
            files |= {f"{mounts[volume['name']]}/{key}": content for key, content in data.items()}
    settings: dict[str, Any] = {}
    for name, value in environment(role, plan).items():
        if name in _OF_PLACE:
            continue
        if value.startswith(names.LIVE_DIR):
            settings[name.removesuffix("_FILE")] = files[value]
        else:
            settings[name] = json.loads(files[value]) if value in files else value
        assert not any(
            folder in str(settings[name.removesuffix("_FILE")] if name not in settings else settings[name])
            for folder in _FOLDERS
        )
    return settings


def _peers(setting: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in setting.split(","))


def test_the_comparison_of_both_can_fail() -> None:
    plan = planned()
    other = changed(plan, "execution", settings={**plan.workload("execution").settings, "margin_leverage": "3"})
    local = next(item for item in render_local(plan, LocalOptions("/s", "/b", "/h")) if item.role == "execution")
    assert configuration_here(local.env, local.files) != configuration_there("execution", other)
