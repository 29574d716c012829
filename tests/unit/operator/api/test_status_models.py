"""The operator's statuses have only fields of the definitions: the API server prunes unknown ones silently."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from support.stack.model import IMAGE, Model, installed
from titan_operator.api.status import RiskPolicyStatus, TitanPhaseStatus
from titan_operator.supplychain.verdict import Verdict

STATUS = {"RiskPolicy": RiskPolicyStatus, "TitanPhase": TitanPhaseStatus}


def _released(model: Model) -> None:
    model.act("release", "release-0001")


def _unverified(model: Model) -> None:
    model.verdicts.update({IMAGE: Verdict(False, reason="Unlisted", message="not on the list " * 500)})


def _suspended(model: Model) -> None:
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"].update(suspend=True))


SCENES: list[tuple[str, Callable[[Model], None]]] = [
    ("settled", lambda model: None),
    ("a release of nothing, refused", _released),
    ("an image that is not verified, told at length", _unverified),
    ("suspended", _suspended),
]


@pytest.mark.parametrize(("description", "change"), SCENES)
def test_each_status_is_of_its_model(description: str, change: Callable[[Model], None]) -> None:
    model = installed()
    change(model)
    model.settle()
    judged = [(key[0], raw["status"]) for key, raw in model.objects.items() if key[0] in STATUS]
    assert len(judged) == 6
    for kind, status in judged:
        msgspec.convert(status, STATUS[kind])


def test_an_unknown_field_is_seen() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `redy`"):
        msgspec.convert({"redy": True}, TitanPhaseStatus)
