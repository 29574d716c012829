"""Responses of processes as the operator's records: an unset field stays None."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.enums import Posture, RiskLevel
from titan.domain.reasons import Reason
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o
from titan_operator.stack.responses import act_ack, brain_view, ceiling_ack, execution_view, rebase_ack, tighten_ack
from titan_operator.stack.view import ExecutionView, PhaseView

HASH = "sha256:" + "a" * 64
POSTURE = b.PostureState(in_force=c.POSTURE_CLOSE_ONLY, latch=c.POSTURE_ARMED, ceiling=c.POSTURE_CLOSE_ONLY)


def test_a_brain_that_knows_nothing_yet() -> None:
    posture = b.PostureState(in_force=c.POSTURE_CLOSE_ONLY, latch=c.POSTURE_CLOSE_ONLY, latch_never_set=True)
    view = brain_view(b.GetBrainResponse(posture=posture, policy_hash=HASH, phases=[b.PhaseState(phase_id="hunter")]))
    assert view.latch_never_set
    assert (view.ceiling, view.risk_level, view.equity, view.drawdown, view.truth_score) == (None,) * 5
    assert view.phases == {"hunter": PhaseView(connected=False)}


@pytest.mark.parametrize(
    ("description", "as_of_ns", "equity"),
    [
        ("a Brain that does not say its age", 0, Decimal("199.4")),
        ("as old as may be", 10_000_000_000, Decimal("199.4")),
        ("Execution reports nothing", 9_999_999_999, None),
    ],
)
def test_an_old_equity_is_unknown(description: str, as_of_ns: int, equity: Decimal | None) -> None:
    reported = o.Equity(known=True, equity="199.5", confirmed_equity="199.4", drawdown="0.01")
    message = b.GetBrainResponse(
        posture=POSTURE, equity=reported, equity_as_of_ns=as_of_ns, market_time_ns=20_000_000_000
    )
    assert brain_view(message).equity == equity, description


def test_a_brain_that_trades() -> None:
    equity = o.Equity(known=True, drawdown="0.01")
    for field in ("cash", "unrealized_pnl", "realized_pnl", "fees", "day_start_equity", "margin_used"):
        setattr(equity, field, "0")
    equity.equity, equity.high_water_mark = "199.5", "201.5"
    phase = b.PhaseState(
        phase_id="scavenger",
        connected=True,
        policy_hash=HASH,
        weight="0.6",
        budget=b.Budget(allocation="119.7"),
    )
    view = brain_view(
        b.GetBrainResponse(
            posture=b.PostureState(
                in_force=c.POSTURE_ARMED,
                latch=c.POSTURE_ARMED,
                ceiling=c.POSTURE_ARMED,
                risk_level=c.RISK_LEVEL_CAUTIOUS,
                reason="why",
                by="ana",
            ),
            equity=equity,
            truth=o.TruthSnapshot(known=True, score=80),
            phases=[phase],
            market_label="SIMULATED MARKET",
        )
    )
    assert (view.equity, view.drawdown, view.truth_score) == (Decimal("199.5"), Decimal("0.01"), 80)
    assert (view.in_force, view.risk_level, view.reason, view.by) == (Posture.ARMED, RiskLevel.CAUTIOUS, "why", "ana")
    assert view.phases["scavenger"] == PhaseView(True, HASH, Decimal("119.7"), Decimal("0.6"))
    assert view.market_label == "SIMULATED MARKET"


@pytest.mark.parametrize(
    ("description", "message", "says"),
    [
        ("no posture in force", b.GetBrainResponse(posture=b.PostureState(latch=c.POSTURE_ARMED)), "0 is not"),
        ("no latch", b.GetBrainResponse(posture=b.PostureState(in_force=c.POSTURE_ARMED)), "0 is not"),
        ("no decimal", b.GetBrainResponse(posture=POSTURE, equity=o.Equity(known=True, equity="much")), "much"),
    ],
)
def test_a_brain_that_says_what_cannot_be_is_not_guessed_at(
    description: str, message: b.GetBrainResponse, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        brain_view(message)


def test_an_execution_without_a_posture_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="0 is not"):
        execution_view(e.GetExecutionResponse())


@pytest.mark.parametrize(
    ("description", "changed", "drained"),
    [
        ("stops and targets still work", {}, True),
        ("an entry works", {"working_entries": 1}, False),
        ("an order is in doubt", {"unresolved_orders": 1}, False),
        ("the journal is not on the disk", {"journal_synced": False}, False),
    ],
)
def test_when_execution_is_drained(description: str, changed: dict[str, int], drained: bool) -> None:
    said = {"posture": POSTURE, "working_orders": 2, "open_positions": 1, "journal_synced": True, **changed}
    view: ExecutionView = execution_view(e.GetExecutionResponse(**said))
    assert (view.working_orders, view.open_positions) == (2, 1)
    assert view.drained is drained


def test_counts_are_execution_s_or_nobody_s() -> None:
    unheard = act_ack(b.SetPostureResponse(done=True, reason=c.REASON_OK, posture=POSTURE))
    assert (unheard.done, unheard.acknowledged_by) == (True, "")
    assert (unheard.working_orders, unheard.open_positions) == (None, None)
    heard = act_ack(b.SetPostureResponse(done=True, reason=c.REASON_OK, acknowledged_by="execution"))
    assert (heard.working_orders, heard.open_positions) == (0, 0)


def test_refusals_keep_their_reason_and_every_precondition() -> None:
    refused = act_ack(
        b.SetPostureResponse(
            done=False, reason=c.REASON_PRECONDITION, message="a; b", preconditions=["a", "b"], posture=POSTURE
        )
    )
    assert (refused.reason, refused.message, refused.preconditions) == ("PRECONDITION", "a; b", ("a", "b"))
    foreign = ceiling_ack(b.SetCeilingResponse(reason=c.REASON_POLICY_HASH_MISMATCH, message="both"))
    assert (foreign.done, foreign.reason, foreign.message) == (False, "POLICY_HASH_MISMATCH", "both")


def test_execution_s_own_answer() -> None:
    result = e.PostureActResult(done=True, reason=Reason.OK.value, message="latch is HALTED", working_orders=3)  # type: ignore[arg-type]
    ack = tighten_ack(e.TightenResponse(result=result))
    assert (ack.acknowledged_by, ack.working_orders, ack.open_positions) == ("execution", 3, 0)


def test_a_reason_of_a_later_version_is_told_by_its_number() -> None:
    result = e.PostureActResult(reason=9_999)  # type: ignore[arg-type]
    assert tighten_ack(e.TightenResponse(result=result)).reason == "REASON_9999"


def test_a_rebase_that_execution_refused() -> None:
    message = e.RebasePeakResponse(reason=c.REASON_PRECONDITION, message="PRECONDITION: x", preconditions=["x"])
    ack = rebase_ack(message)
    assert (ack.done, ack.reason, ack.message, ack.preconditions) == (False, "PRECONDITION", "PRECONDITION: x", ("x",))
