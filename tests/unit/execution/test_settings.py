"""Execution's settings: a time that is none, or never ends, is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from titan.execution.settings import ExecutionSettings, check_settings
from titan.runtime.process import StartError


def made(**changed: Any) -> ExecutionSettings:
    return ExecutionSettings(role="execution", http_port=1, state_dir="s", policy_file="p.json", **changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lease_s", math.inf),
        ("brain_silence_s", math.inf),
        ("brain_silence_s", math.nan),
        ("reconcile_interval_s", math.inf),
        ("receive_window_ms", 0),
        ("mark_max_age_ms", 10**12),
    ],
)
def test_a_time_out_of_range(field: str, value: Any) -> None:
    settings = made(**{field: value})
    with pytest.raises(
        StartError, match=rf"^{field}: {value} is not allowed; allowed are numbers from [0-9.]+ to 86400000"
    ):
        check_settings(settings)


def test_the_defaults_pass() -> None:
    check_settings(made())
