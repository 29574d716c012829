"""Views of a namespace: postures, pins and phases; unknown values stay unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from support.cluster.objects import HASH, OTHER_HASH, phase, policy
from titan.cli.cluster.acts import ActResult, PostureCommand, WrittenAct, policies_of, sentence, status_shows
from titan.cli.cluster.policies import pin_for
from titan.cli.cluster.show import PHASE_COLUMNS, age, document, phase_rows, summary
from titan.cli.cluster.stack_view import Item, StackView
from titan.cli.errors import Refused
from titan_operator.api.acts import ActVerb

NOW = datetime(2026, 1, 3, 12, 0, tzinfo=UTC)
ARMED = {"ceiling": "ARMED", "latch": "ARMED", "inForce": "ARMED", "acknowledgedBy": "execution"}


def stack_view(policies: list[dict[str, Any]], phases: list[dict[str, Any]]) -> StackView:
    return StackView.of("desk", policies, phases)


def trading(**status: Any) -> StackView:
    return stack_view([policy("demo", status=status or None)], [phase("brain"), phase("marketdata", pin=None)])


def lines(view: StackView) -> dict[str, str]:
    return {line[:10].strip(): line[10:] for line in summary(view)}


def test_summary_of_a_stack_that_trades() -> None:
    view = trading(
        posture={**ARMED, "workingOrders": 2, "openPositions": 1},
        equity="199.876",
        drawdown="0.0006",
        truthScore=100,
        riskLevel="NORMAL",
    )
    assert lines(view) == {
        "stack": "namespace desk, policy demo",
        "posture": "ARMED: ceiling ARMED, latch ARMED, acknowledged by execution; 2 working orders, 1 open position",
        "policy": "not enforced: maxPhaseCorrelation",
        "risk": "level NORMAL, truth score 100 of 100",
        "equity": "199.88 USDT, drawdown 0.06 %",
    }


def test_unknown_values_are_shown_as_unknown_never_as_zero() -> None:
    view = lines(trading())
    assert view["posture"] == (
        "unknown: ceiling CLOSE_ONLY, latch unknown; unknown working orders, unknown open positions"
    )
    assert (view["risk"], view["equity"]) == ("level unknown, truth score unknown", "unknown")


def test_zero_is_zero_and_not_unknown() -> None:
    view = lines(trading(posture={**ARMED, "workingOrders": 0, "openPositions": 0}, equity="0", truthScore=0))
    assert view["posture"].endswith("; 0 working orders, 0 open positions")
    assert (view["risk"], view["equity"]) == ("level unknown, truth score 0 of 100", "0 USDT, drawdown unknown")


@pytest.mark.parametrize(
    ("description", "answered", "text"),
    [
        ("not acknowledged", None, "halt by ana (storm): not acknowledged yet"),
        ("an earlier answer", {"nonce": "n-0000000", "outcome": "Done"}, "halt by ana (storm): not acknowledged yet"),
        ("done", {"nonce": "n-1111111", "outcome": "Done", "message": ""}, "halt by ana (storm): Done"),
        ("refused", {"nonce": "n-1111111", "outcome": "Refused", "message": "no"}, "halt by ana (storm): Refused, no"),
    ],
)
def test_the_last_act(description: str, answered: dict[str, str] | None, text: str) -> None:
    asked = {"verb": "halt", "nonce": "n-1111111", "by": "ana", "reason": "storm"}
    view = stack_view([policy("demo", act=asked, status={"act": answered} if answered else None)], [phase("brain")])
    assert lines(view)["act"] == text


def test_pins_that_differ_or_hang_are_shown() -> None:
    view = stack_view(
        [policy("demo")], [phase("brain"), phase("execution", pin="other"), phase("scavenger", pin="other")]
    )
    assert summary(view)[0] == (
        "stack     namespace desk, POLICIES DIFFER, so CLOSE_ONLY: demo by brain; other by execution, scavenger"
    )
    assert summary(view)[-1] == "policy    other is pinned by execution, scavenger, but does not exist"
    assert summary(stack_view([], [])) == ["stack     namespace desk, no policy is pinned"]


def test_rows_of_phases() -> None:
    demo = policy("demo", status={"equity": "200"})
    view = stack_view(
        [demo],
        [
            phase("brain", ready=("True", "Ready"), created="2026-01-01T00:00:00Z"),
            phase("marketdata", pin=None, ready=("False", "ImageVerified"), created="2026-01-03T11:59:01Z"),
            phase("scavenger", ready=("True", "Ready"), allocation="50.5", observed=False),
            phase("execution", status=None, deleting=True),
        ],
    )
    found = {
        row[0]: dict(zip([column.title for column in PHASE_COLUMNS], row, strict=True)) for row in phase_rows(view, NOW)
    }
    assert found["brain"] == {
        "PHASE": "brain",
        "ROLE": "brain",
        "MODE": "paper",
        "READY": "True",
        "REASON": "Ready",
        "EQUITY": "200",
        "POLICY": HASH.removeprefix("sha256:")[:8],
        "AGE": "2d",
    }
    market = found["marketdata"]
    assert (market["READY"], market["REASON"], market["EQUITY"], market["POLICY"]) == (
        "False",
        "ImageVerified",
        "–",
        "–",
    )
    assert market["AGE"] == "59s"
    # A status of an earlier spec says nothing about this one.
    assert (found["scavenger"]["READY"], found["scavenger"]["EQUITY"]) == ("Unknown", "50.5")
    assert (found["execution"]["READY"], found["execution"]["REASON"]) == ("Unknown", "NotSeen, being deleted")


@pytest.mark.parametrize(
    ("description", "created", "view"),
    [
        ("seconds", "2026-01-03T11:58:01Z", "119s"),
        ("minutes", "2026-01-03T11:58:00Z", "2m"),
        ("an hour", "2026-01-03T11:00:00Z", "1h"),
        ("days", "2026-01-01T12:00:00Z", "2d"),
        ("a clock behind the server's", "2026-01-03T12:00:05Z", "0s"),
        ("unknown", "", "–"),
    ],
)
def test_age(description: str, created: str, view: str) -> None:
    assert age(created, NOW) == view


def test_document_has_null_for_what_is_unknown() -> None:
    found = document(trading())
    assert found["policies"][0]["equity"] is None
    assert found["policies"][0]["pinned_by"] == ["brain"]
    assert [each["name"] for each in found["phases"]] == ["brain", "marketdata"]


HALT = PostureCommand(ActVerb.HALT, "", 1.0)
ARM = PostureCommand(ActVerb.ARM, "", 1.0)


def test_halting_reaches_every_pinned_policy_and_arming_only_the_stacks_one() -> None:
    torn = stack_view(
        [policy("demo"), policy("other"), policy("kept")], [phase("brain"), phase("execution", pin="other")]
    )
    assert [item.name for item in policies_of(torn, HALT)] == ["demo", "other"]
    with pytest.raises(Refused, match=r"pins differ: demo by brain; other by execution; .*policy pin NAME"):
        policies_of(torn, ARM)
    assert [item.name for item in policies_of(trading(), ARM)] == ["demo"]


@pytest.mark.parametrize(
    ("description", "policies", "phases", "message"),
    [
        ("nothing", [], [], "has no TitanPhase that pins a RiskPolicy"),
        ("no trader", [policy("demo")], [phase("marketdata", pin=None)], "has no TitanPhase that pins a RiskPolicy"),
        (
            "a pin of nothing",
            [policy("other")],
            [phase("brain")],
            r"the pinned policy does not exist: demo \(by brain\); apply it, or pin another one",
        ),
    ],
)
def test_no_stack_to_act_on(
    description: str, policies: list[dict[str, Any]], phases: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        policies_of(stack_view(policies, phases), HALT)


def test_release_goes_to_the_phases_own_policy() -> None:
    torn = stack_view(
        [policy("demo"), policy("other")],
        [phase("brain"), phase("execution", pin="other"), phase("marketdata", pin=None)],
    )
    for name, wanted in (("execution", "other"), ("brain", "demo"), ("marketdata", "demo")):
        assert [item.name for item in policies_of(torn, PostureCommand(ActVerb.RELEASE, "", 1.0, name))] == [wanted]
    with pytest.raises(Refused, match="has no TitanPhase hunter; there are brain, execution, marketdata"):
        policies_of(torn, PostureCommand(ActVerb.RELEASE, "", 1.0, "hunter"))


@pytest.mark.parametrize(
    ("description", "status", "command", "text"),
    [
        (
            "halted",
            {
                "act": {"outcome": "Done", "message": "acknowledged by Execution: HALTED, 2 working orders"},
                "posture": {"inForce": "HALTED"},
            },
            HALT,
            "halt: acknowledged by Execution: HALTED, 2 working orders; posture is HALTED",
        ),
        (
            "nothing runs",
            {"act": {"outcome": "Done", "message": "no Execution runs in this stack: nothing can be sent"}},
            HALT,
            "halt: no Execution runs in this stack: nothing can be sent",
        ),
        (
            "refused",
            {"act": {"outcome": "Refused", "message": "truth is unknown"}, "posture": {"inForce": "HALTED"}},
            ARM,
            "arm: refused by the stack under RiskPolicy demo: truth is unknown",
        ),
        (
            "released",
            {"act": {"outcome": "Done", "message": "released by ana: broken venue"}},
            PostureCommand(ActVerb.RELEASE, "", 1.0, "execution"),
            "release of execution: released by ana: broken venue",
        ),
    ],
)
def test_outcome_of_an_act(description: str, status: dict[str, Any], command: PostureCommand, text: str) -> None:
    assert sentence(act_result(command, Item(policy("demo", status=status))), command) == text


def act_result(command: PostureCommand, item: Item | None, *left: str) -> ActResult:
    return ActResult(WrittenAct("demo", {"verb": command.verb.value, "nonce": "n-1"}), item, left)


@pytest.mark.parametrize(
    ("description", "command", "left", "done", "text"),
    [
        ("all is gone", HALT, (), True, "; no phase is left that trades under it"),
        ("phases pin another", HALT, ("brain",), False, ", and brain run under another: see `kubectl titan status`"),
        ("nothing is left to arm", ARM, (), False, "; no phase is left that trades under it"),
    ],
)
def test_policy_deleted_before_its_outcome(
    description: str, command: PostureCommand, left: tuple[str, ...], done: bool, text: str
) -> None:
    gone = act_result(command, None, *left)
    assert gone.done is done
    assert text in sentence(gone, command)
    assert sentence(gone, command).startswith(f"{command.verb}: RiskPolicy demo was deleted before its answer was read")


@pytest.mark.parametrize(
    ("description", "verb", "posture", "view"),
    [
        ("halted", ActVerb.HALT, {"inForce": "HALTED", "latch": "HALTED"}, True),
        ("tighter already", ActVerb.HALT, {"inForce": "FLATTEN", "latch": "FLATTEN"}, True),
        ("as before", ActVerb.HALT, {"inForce": "ARMED", "latch": "ARMED"}, False),
        ("armed, held down by its risk level", ActVerb.ARM, {"inForce": "CLOSE_ONLY", "latch": "ARMED"}, True),
        ("not armed yet", ActVerb.ARM, {"inForce": "HALTED", "latch": "HALTED"}, False),
        ("nothing runs", ActVerb.HALT, {}, True),
        ("a release moves no posture", ActVerb.RELEASE, {"inForce": "ARMED", "latch": "ARMED"}, True),
    ],
)
def test_status_follows_the_act(description: str, verb: ActVerb, posture: dict[str, str], view: bool) -> None:
    assert status_shows(Item(policy("demo", status={"posture": posture})), PostureCommand(verb, "", 1.0)) is view


def test_pin_needs_an_existing_policy_with_the_right_hash() -> None:
    view = trading()
    assert pin_for(view, "demo") == {"name": "demo", "hash": HASH}
    with pytest.raises(Refused, match="has no RiskPolicy other; there are demo"):
        pin_for(view, "other")
    with pytest.raises(Refused, match=f"the rules hash to {HASH}, spec.hash says {OTHER_HASH}"):
        pin_for(stack_view([policy("demo", policy_hash=OTHER_HASH)], []), "demo")
    with pytest.raises(Refused, match="is being deleted"):
        pin_for(stack_view([policy("demo", deleting=True)], []), "demo")


def test_the_rules_that_nothing_enforces_are_named() -> None:
    demo = policy("demo")
    view = stack_view([demo], [phase("brain")])
    assert lines(view)["policy"] == "not enforced: maxPhaseCorrelation"
    assert document(view)["policies"][0]["not_enforced"] == ["maxPhaseCorrelation"]
    # Rules that cannot be read say nothing, and are not called enforced.
    demo["spec"]["rules"]["maxDailyLoss"] = "x"
    assert "policy" not in lines(view)
    assert document(view)["policies"][0]["not_enforced"] is None
