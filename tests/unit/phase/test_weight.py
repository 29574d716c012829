"""A phase is small: it imports no heavy module."""

from __future__ import annotations

import json
import subprocess
import sys

# Each of these alone would break the budget of 0.4 s and 60 MB.
HEAVY = ("numpy", "pydantic", "sqlalchemy", "aiohttp", "rich", "cryptography", "yaml", "polars")


def imported(module: str) -> set[str]:
    script = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_a_phase_imports_nothing_heavy() -> None:
    modules = imported("titan.phase.app")
    assert "titan.strategies.scavenger.strategy" in modules
    assert not modules & set(HEAVY)


def test_the_check_detects_a_heavy_module() -> None:
    assert "pydantic" in imported("titan_operator.api")
