"""Signed policies: one is required where the setting says so, and one older than was in force is refused."""

from __future__ import annotations

from support.stack.model import IMAGE, Model, documents, quickstart
from titan.domain.enums import Posture
from titan_operator.api.names import POLICY_SEQUENCE
from titan_operator.supplychain.verdict import Verdict

DEMO, STANDARD = "demo-3e1725d5", "standard-96134a07"


def _signed(sequence: int, policy: str = "demo", account: str = "paper-1") -> list[dict[str, object]]:
    resources = quickstart(policy)
    resources[0]["spec"]["signature"] = {"bundle": '{"mediaType":"bundle"}', "account": account, "sequence": sequence}
    return resources


def _model() -> Model:
    verdicts = {name: Verdict(True) for name in (DEMO, STANDARD)}
    return Model(verdicts={IMAGE: Verdict(True, "a")}, signatures_required=True, policy_verdicts=verdicts)


def test_an_unsigned_policy_is_refused_where_signatures_are_required() -> None:
    model = _model()
    model.create(*quickstart())
    model.settle()
    assert model.condition("brain")["reason"] == "PolicySigned"
    assert "spec.signature: missing" in model.condition("brain")["message"]


def test_a_signature_that_does_not_verify_is_refused_with_its_reason() -> None:
    model = _model()
    model.policy_verdicts[DEMO] = Verdict(False, reason="WrongKey", message="signed by a key that is not trusted")
    model.create(*_signed(3))
    model.settle()
    assert "WrongKey: signed by a key that is not trusted" in model.condition("brain")["message"]
    assert ("ConfigMap", POLICY_SEQUENCE) not in model.objects


def test_a_policy_older_than_the_accounts_sequence_is_refused_with_both_values() -> None:
    model = _model()
    model.create(*_signed(7))
    model.settle()
    data = model.objects["ConfigMap", POLICY_SEQUENCE]["data"]
    assert data == {"account": "paper-1", "sequence": "7", "hash": documents("policies/demo.yaml")[0]["spec"]["hash"]}
    older = _signed(6, "standard")
    model.create(*older)
    model.settle()
    message = model.condition("brain")["message"]
    assert "spec.signature.sequence: 6; allowed is at least 7" in message
    # The stack goes on under what was in force, closed to entries: two policies are wanted, one runs.
    assert model.in_force is Posture.CLOSE_ONLY
    newer = _signed(8, "standard")
    model.create(newer[0])
    model.settle()
    assert model.condition("brain")["status"] == "True"
    assert model.objects["ConfigMap", POLICY_SEQUENCE]["data"]["sequence"] == "8"


def test_the_mark_outlives_the_stack() -> None:
    model = _model()
    model.create(*_signed(7))
    model.settle()
    for item in documents("examples/quickstart.yaml"):
        model.delete("TitanPhase", item["metadata"]["name"])
    model.delete("RiskPolicy", DEMO)
    model.settle()
    assert ("TitanPhase", "brain") not in model.objects
    model.create(*_signed(6))
    model.settle()
    assert model.condition("brain")["reason"] == "PolicySigned"


def test_a_policy_of_another_account_is_refused_with_both_names() -> None:
    model = _model()
    model.create(*_signed(7))
    model.settle()
    model.create(*_signed(8, "standard", account="paper-2"))
    model.settle()
    assert (
        "spec.signature.account: paper-2; allowed is this stack's account, paper-1"
        in model.condition("brain")["message"]
    )


def test_an_unverified_number_never_lifts_the_mark() -> None:
    model = _model()
    model.signatures_required = False
    model.policy_verdicts.clear()
    model.create(*_signed(999))
    model.settle()
    assert model.condition("brain")["status"] == "True"
    assert ("ConfigMap", POLICY_SEQUENCE) not in model.objects
