"""The namespace is protected while a finalizer of ours is left: it would take the operator's rights along."""

from __future__ import annotations

from support.stack.model import Model, installed
from titan_operator.api.names import PROTECTED
from titan_operator.reconcile.effects import SetFinalizer

PHASES = ("scavenger", "brain", "execution", "papervenue", "marketdata")


def _protected(model: Model) -> bool:
    return model.namespace["metadata"].get("annotations", {}).get(PROTECTED) == "true"


def test_protected_until_the_last_finalizer_is_off_though_execution_went_before() -> None:
    model = installed()
    assert _protected(model)
    for name in PHASES[:3]:
        model.delete("TitanPhase", name)
    model.settle()
    assert not [key for key in model.objects if key[0] == "StatefulSet"]
    assert _protected(model), "two phases still have our finalizer"
    for key in [key for key in model.objects if key[0] in ("TitanPhase", "RiskPolicy")]:
        model.delete(*key)
    model.log.clear()
    model.settle()
    assert not _protected(model)
    writes = model.writes()
    last_finalizer = max(index for index, effect in enumerate(writes) if isinstance(effect, SetFinalizer))
    lifted = [index for index, effect in enumerate(writes) if getattr(effect, "kind", "") == "Namespace"]
    assert lifted == [len(writes) - 1]
    assert last_finalizer < lifted[0]
