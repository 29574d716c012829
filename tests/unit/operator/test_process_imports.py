"""The operator's process imports little: it runs on a small machine beside the stack."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = "import sys, titan_operator.app; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name", ["kubernetes", "requests", "sigstore", "sqlalchemy", "alembic", "ccxt", "numpy", "rich"]
)
def test_what_is_for_tests_tools_and_other_processes_is_not_loaded(name: str, loaded: set[str]) -> None:
    assert name not in loaded


def test_the_question_can_find_something(loaded: set[str]) -> None:
    assert {"kopf", "aiohttp", "grpc", "pydantic"} <= loaded
