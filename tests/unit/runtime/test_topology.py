"""Which processors a role runs on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.runtime.topology import ROLES, processors_of


@given(st.sets(st.integers(0, 300), min_size=2))
def test_brain_and_execution_share_no_processor_and_leave_none_out(available: set[int]) -> None:
    brain, execution = processors_of("brain", available), processors_of("execution", available)
    assert brain
    assert execution
    assert not brain & execution
    assert brain | execution == available


@pytest.mark.parametrize("role", ROLES)
def test_one_processor_is_everybody_s(role: str) -> None:
    assert processors_of(role, {3}) == {3}


def test_all_others_run_where_there_is_room() -> None:
    assert processors_of("marketdata", {0, 1}) == processors_of("test", {0, 1}) == {0, 1}
