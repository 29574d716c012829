"""Groups of tests for pytest-xdist: a module stays together, longest first, and the groups are really scheduled."""

from __future__ import annotations

import pytest

from support.stack.local_processes import REPOSITORY
from support.tiers.groups import ALONE, FIRST, TOGETHER, group_of, rank_of

pytest_plugins = ["pytester"]


def test_each_path_of_the_tables_is_there() -> None:
    missing = [path for path in (*TOGETHER, *ALONE, *FIRST) if not list(REPOSITORY.glob(f"{path}*"))]
    assert missing == []


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/cluster/charts/test_rbac.py::test_a[x]", "tests/cluster/charts/test_rbac.py"),
        ("tests/cluster/client/test_client_lease.py::test_a", "one control plane"),
        ("tests/service/stack/test_up.py::test_a[x::y]", "tests/service/stack/test_up.py::test_a[x::y]"),
    ],
)
def test_group(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_what_takes_longest_begins_first() -> None:
    assert rank_of("tests/cluster/stack_life/test_life_rolls.py::test_a") < rank_of("tests/cluster/charts/test_rbac.py")


def test_the_tests_of_a_module_run_in_one_process(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
    module = (
        "import os, pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_a(n):\n    print('ran in', os.getpid())\n"
    )
    pytester.makepyfile(test_one=module, test_other=module)
    result = pytester.runpytest_subprocess("-p", "support.tiers.groups", "-n", "2", "--dist", "loadgroup", "-rP")
    result.assert_outcomes(passed=12)
    assert len({line for line in result.outlines if line.startswith("ran in")}) == 2
