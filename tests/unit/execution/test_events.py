"""The events that connect Execution's parts: no receiver can be forgotten, and none can be replaced later."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from titan.execution.events import ExecutionEvents

NAMES = [field.name for field in dataclasses.fields(ExecutionEvents)]


def receivers() -> dict[str, Any]:
    return {name: lambda *_: None for name in NAMES}


def test_every_receiver_makes_the_events() -> None:
    made = receivers()
    events = ExecutionEvents(**made)
    assert {name: getattr(events, name) for name in NAMES} == made


@pytest.mark.parametrize("forgotten", NAMES)
def test_a_forgotten_receiver_fails_at_construction(forgotten: str) -> None:
    made = receivers()
    del made[forgotten]
    with pytest.raises(TypeError, match=forgotten):
        ExecutionEvents(**made)


@pytest.mark.parametrize("name", NAMES)
def test_a_receiver_cannot_be_bound_late(name: str) -> None:
    events = ExecutionEvents(**receivers())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(events, name, lambda *_: None)
