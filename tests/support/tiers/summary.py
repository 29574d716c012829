"""A pytest plugin: seconds of each tier, the sweeps of ``make chaos`` left out elsewhere, and no silent skips in CI.

In CI (``CI=true``, or with ``--no-skips``) a skipped test fails the run, unless its reason names an ability that the
machine lacks (``support.tiers.abilities``).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import pytest

from support.tiers.abilities import MARK

_PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass
class _Tier:
    begin_s: float
    end_s: float
    tests: set[str] = field(default_factory=set)


def tier_of(nodeid: str) -> str:
    """Return the folder below ``tests`` that a test or a module is in."""
    folders = nodeid.partition("::")[0].split("/")[:-1]
    return folders[folders.index("tests") + 1] if "tests" in folders[:-1] else folders[0] if folders else "."


class Tiers:
    """Times and skips of one session, from the reports of its tests."""

    def __init__(self, no_skips: bool) -> None:
        self._no_skips = no_skips
        self._begin_s = time.time()
        self._tiers: dict[str, _Tier] = {}
        self._skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Collection is part of the time of the tier that runs first.
        begin_s = report.start if self._tiers else self._begin_s
        tier = self._tiers.setdefault(tier_of(report.nodeid), _Tier(begin_s, report.stop))
        tier.end_s = max(tier.end_s, report.stop)
        tier.tests.add(report.nodeid)
        if not hasattr(report, "wasxfail"):
            self._note_skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note_skip(report)

    def _note_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        # Path, line and reason, where a test or a module was skipped.
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(MARK):
            self._skipped[report.nodeid] = reason

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._no_skips and self._skipped and session.exitstatus in _PASSED:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._no_skips and self._skipped:
            terminalreporter.section("skipped tests fail this run", red=True, bold=True)
            for nodeid, reason in self._skipped.items():
                terminalreporter.line(f"{nodeid}: {reason}")
            terminalreporter.line(f"allowed is a reason that begins with {MARK!r} (support.tiers.abilities)")
        for name, tier in self._tiers.items():
            terminalreporter.line(f"tier {name}: {len(tier.tests)} tests, {tier.end_s - tier.begin_s:.0f} s")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help="fail the run when a test is skipped for another reason than an ability that the machine lacks",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A worker of pytest-xdist sends its reports to the process that started it.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tiers(config.getoption("--no-skips")), "titan-tiers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("TITAN_CHAOS"):
        return
    left_out = [item for item in items if item.get_closest_marker("chaos")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
