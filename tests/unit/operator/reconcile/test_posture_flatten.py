"""A ceiling of FLATTEN is sent until nothing is open, and not once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.stack.model import installed
from titan.domain.enums import Posture
from titan_operator.reconcile.effects import Tighten
from titan_operator.reconcile.posture import posture_effects
from titan_operator.stack.view import BrainView, ExecutionView, StackView

HASH = "sha256:" + "a" * 64


def execution(in_force: Posture, open_positions: int = 0, working_orders: int = 0) -> ExecutionView:
    return ExecutionView(
        policy_hash=HASH,
        latch=in_force,
        in_force=in_force,
        working_orders=working_orders,
        working_entries=0,
        unresolved_orders=0,
        open_positions=open_positions,
        lease_held=True,
        reconciled=True,
        venue_connected=True,
        brain_connected=True,
        journal_flushed=True,
    )


@pytest.mark.parametrize(
    ("description", "brain", "own", "asked"),
    [
        ("nothing done yet", Posture.ARMED, execution(Posture.ARMED, 1), True),
        ("under way", Posture.FLATTEN, execution(Posture.FLATTEN, 1), False),
        ("finished", Posture.HALTED, execution(Posture.HALTED), False),
        ("halted before, with a position", Posture.HALTED, execution(Posture.HALTED, 1, 2), True),
        ("halted before, with an order", Posture.HALTED, execution(Posture.HALTED, 0, 1), True),
        ("Execution does not answer", Posture.HALTED, None, True),
        ("flat and closed to entries only", Posture.CLOSE_ONLY, execution(Posture.CLOSE_ONLY), True),
    ],
)
def test_flatten_is_asked_for_until_nothing_is_open(
    description: str, brain: Posture, own: ExecutionView | None, asked: bool
) -> None:
    model = installed()
    for kind, name in list(model.objects):
        if kind == "RiskPolicy":
            model.edit(kind, name, lambda raw: raw["spec"].update(posture="FLATTEN"))
    said = StackView(BrainView(HASH, Posture.FLATTEN, brain, brain), own)
    effects = posture_effects(replace(model.observed(), stack=said))
    assert [effect.posture for effect in effects if isinstance(effect, Tighten)] == [Posture.FLATTEN] * asked
