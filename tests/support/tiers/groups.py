"""Which tests run one after another in one process of pytest-xdist, and which begin first (``--dist loadgroup``).

A module is a group, for its fixtures are made once in it. What takes longest begins first: a long group that began
last would be waited for alone. The groups of markers, pytest-xdist's own, are not seen with this version of pytest.
"""

from __future__ import annotations

from typing import Any

import pytest

_LIFE = "tests/cluster/stack_life/test_"
# In this order: the first three look at one stack, from its first state on. The last of each deletes namespaces, and
# an operator that lacks its rights in one is not ready.
_LOOKED_AT = tuple(
    f"{_LIFE}{name}.py" for name in ("stack_fresh", "stack_refused", "stack_upkeep", "life_database", "stack_by_helm")
)
_TRADED = tuple(f"{_LIFE}{name}.py" for name in ("stack_halted", "life_deletion", "life_rolls"))
# Modules that share a fixture of the session, by the beginning of their path.
TOGETHER = {
    "tests/service/operator/supplychain/test_verifier": "what cosign signed",
    "tests/service/brain/": "one PostgreSQL",
    # Each of these stacks computes all the time: beside each other they only slow each other down.
    **dict.fromkeys(
        (
            "tests/service/stack/test_kills.py",
            "tests/service/stack/test_policy_in_force.py",
            "tests/service/stack/test_seeds.py",
            "tests/service/stack/test_up_certificates.py",
            "tests/service/stack/test_up_looked_at.py",
        ),
        "one market at full speed",
    ),
    "tests/cluster/api/test_crds.py": "one control plane",
    "tests/cluster/api/test_crd_agreement.py": "one control plane",
    "tests/cluster/client/": "one control plane",
    "tests/cluster/controller/test_render.py": "one control plane",
    "tests/cluster/kubectl/test_kubectl_titan_explain.py": "one control plane",
    "tests/cluster/plane/test_apiproxy.py": "one control plane",
    "tests/cluster/plane/test_controlplane.py": "one control plane",
    "tests/cluster/kubectl/test_kubectl_titan.py": "one control plane, kubectl",
    "tests/cluster/kubectl/test_kubectl_titan_acts.py": "one control plane, kubectl",
    **dict.fromkeys(_LOOKED_AT, "one installation, stacks that are looked at"),
    **dict.fromkeys(_TRADED, "one installation, stacks that trade"),
    "tests/cluster/controller/guarded/": "one guarded control plane, faults",
    "tests/cluster/controller/test_cut_writes.py": "one guarded control plane",
    "tests/cluster/gitops/": "one guarded control plane",
    "tests/cluster/charts/test_charts.py": "one control plane, charts",
    "tests/cluster/charts/test_charts_data.py": "one control plane, charts",
    "tests/cluster/charts/test_charts_nats.py": "one control plane, charts",
}
# Modules whose tests share nothing: each test may run anywhere.
ALONE = frozenset(
    {
        "tests/service/execution/test_recovery.py",
        "tests/service/stack/test_up.py",
        "tests/service/storage/test_database_away.py",
    }
)
# By the beginning of their path; the rest follows in the order of its names.
FIRST = (
    "tests/service/stack/test_kills.py",
    "tests/service/stack/test_policy_in_force.py",
    "tests/service/stack/test_up_looked_at.py",
    "tests/service/stack/test_seeds.py",
    "tests/service/stack/test_up_certificates.py",
    "tests/service/operator/supplychain/test_verifier",
    "tests/service/storage/test_database_away.py",
    "tests/service/execution/test_recovery.py",
    "tests/service/stack/test_up.py",
    "tests/service/brain/",
    *_TRADED,
    *_LOOKED_AT,
    "tests/cluster/controller/guarded/test_faults",
    "tests/cluster/admission/test_trust_life.py",
    "tests/cluster/controller/test_cut_writes.py",
    "tests/cluster/plane/test_podrunner.py",
    *(path for path, group in TOGETHER.items() if group == "one control plane"),
    "tests/cluster/admission/test_admission_life.py",
    "tests/cluster/charts/test_charts_",
    "tests/images/test_reproducible.py",
)


def group_of(nodeid: str) -> str:
    """Return the group of a test."""
    path = nodeid.partition("::")[0]
    if path in ALONE:
        return nodeid
    return next((group for beginning, group in TOGETHER.items() if path.startswith(beginning)), path)


def rank_of(nodeid: str) -> int:
    """Return the place of a test's group among those that begin first."""
    return next((rank for rank, beginning in enumerate(FIRST) if nodeid.startswith(beginning)), len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A group is begun where its first test is, and has its modules in the order of their ranks.
    first: dict[str, int] = {}
    for item in items:
        group = group_of(item.nodeid)
        first[group] = min(rank_of(item.nodeid), first.get(group, len(FIRST)))
    items.sort(key=lambda item: (first[group_of(item.nodeid)], rank_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        """Groups of this module, in the order of the collection."""

        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    # Its own order is by the number of tests.
    config.option.loadscopereorder = False
    return Groups(config, log)
