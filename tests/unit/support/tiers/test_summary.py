"""The plugin of the test tiers: which skips fail a run of CI, and what it prints."""

from __future__ import annotations

import pytest

from support.stack.local_processes import REPOSITORY

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from support.tiers.abilities import needs, skip_without

def test_passes(): pass

@needs("root", present=False)
def test_marked(): pass

def test_lacks(): skip_without("a C compiler")

@pytest.mark.xfail(strict=True)
def test_expected(): assert False
"""
SKIPPED = "\ndef test_silent(): pytest.skip('no recordings')\n"
MODULE = "import pytest\npytest.skip('not today', allow_module_level=True)\n"
CHAOS = "\n@pytest.mark.chaos\ndef test_sweep(): pass\n"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests, and no environment that changes what is run."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TITAN_CHAOS", raising=False)
    pytester.makeini("[pytest]\nmarkers = chaos: a sweep\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def made(run: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    folder = run.path / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(text)
    return run.runpytest_inprocess("-p", "support.tiers.summary", *arguments)


@pytest.mark.parametrize(
    ("description", "text", "arguments", "environment", "code"),
    [
        ("machine's abilities only", TESTS, ["--no-skips"], {}, 0),
        ("another reason", TESTS + SKIPPED, ["--no-skips"], {}, 1),
        ("another reason, in CI", TESTS + SKIPPED, [], {"CI": "true"}, 1),
        ("another reason, on a person's machine", TESTS + SKIPPED, [], {}, 0),
        ("a whole module", MODULE, ["--no-skips"], {}, 1),
    ],
)
def test_which_skips_fail_a_run(
    run: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    description: str,
    text: str,
    arguments: list[str],
    environment: dict[str, str],
    code: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = made(run, text, *arguments)
    assert done.ret == code, done.stdout.str()
    assert ("skipped tests fail this run" in done.stdout.str()) is bool(code)


def test_the_failed_run_lists_each_skip_and_its_reason(run: pytest.Pytester) -> None:
    done = made(run, TESTS + SKIPPED, "--no-skips")
    done.stdout.fnmatch_lines(["tests/unit/test_it.py::test_silent: no recordings"])
    done.stdout.no_fnmatch_line("*test_lacks: machine: *")


def test_each_tier_has_its_tests_and_seconds(run: pytest.Pytester) -> None:
    made(run, TESTS).stdout.re_match_lines([r"tier unit: 4 tests, \d+ s"])


@pytest.mark.parametrize(("environment", "passed", "deselected"), [({}, 1, 1), ({"TITAN_CHAOS": "1"}, 2, 0)])
def test_a_sweep_of_chaos_runs_there_only(
    run: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    passed: int,
    deselected: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = made(run, "import pytest\n\ndef test_sample(): pass\n" + CHAOS, "--no-skips")
    done.assert_outcomes(passed=passed, deselected=deselected)
