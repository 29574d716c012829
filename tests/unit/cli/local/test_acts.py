"""Sentences about the posture: what ``titan up`` finds in an old state, and what came of an act."""

from __future__ import annotations

import pytest

from titan.cli.errors import Unreachable
from titan.cli.local.acts import _print_result, kept, rebase_sentence, sentence
from titan.cli.output import Output
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e


@pytest.mark.parametrize(
    ("description", "latch", "ceiling", "by", "text"),
    [
        ("armed", c.POSTURE_ARMED, c.POSTURE_ARMED, "anna", "Resumed: ARMED (set by anna)."),
        (
            "halted",
            c.POSTURE_HALTED,
            c.POSTURE_ARMED,
            "anna",
            'Still HALTED (set by anna). Run "titan arm" to resume.',
        ),
        (
            "flattened, by a latch without a name",
            c.POSTURE_FLATTEN,
            c.POSTURE_ARMED,
            "",
            'Still FLATTEN (set by an unknown person). Run "titan arm" to resume.',
        ),
        (
            "armed below a ceiling, where arming would not help",
            c.POSTURE_ARMED,
            c.POSTURE_CLOSE_ONLY,
            "anna",
            "Still CLOSE_ONLY: the ceiling of the RiskPolicy. The latch is ARMED (set by anna).",
        ),
    ],
)
def test_posture_of_an_old_state(description: str, latch: c.Posture, ceiling: c.Posture, by: str, text: str) -> None:
    assert kept(b.PostureState(latch=latch, ceiling=ceiling, by=by)) == text


@pytest.mark.parametrize(
    ("orders", "positions", "text"),
    [
        (1, 1, "HALTED, acknowledged by execution: 1 working order, 1 open position"),
        (2, 0, "HALTED, acknowledged by execution: 2 working orders, 0 open positions"),
    ],
)
def test_acknowledgement_counts_in_words(orders: int, positions: int, text: str) -> None:
    response = b.SetPostureResponse(
        done=True,
        posture=b.PostureState(in_force=c.POSTURE_HALTED),
        acknowledged_by="execution",
        working_orders=orders,
        open_positions=positions,
    )
    assert sentence(response) == text


def test_an_act_that_execution_has_not_acknowledged_is_not_done_for_a_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    response = b.SetPostureResponse(done=True, posture=b.PostureState(in_force=c.POSTURE_HALTED))
    with pytest.raises(Unreachable, match=r"^HALTED at brain; execution has not acknowledged it yet$"):
        _print_result(response, Output.TABLE)
    assert capsys.readouterr().out == ""
    response.acknowledged_by = "execution"
    _print_result(response, Output.TABLE)
    assert capsys.readouterr().out.startswith("HALTED, acknowledged by execution")


def test_a_rebase_names_both_peaks_and_what_is_left_to_do() -> None:
    done = e.RebasePeakResponse(done=True, high_water_mark_before="250", high_water_mark="200.5")
    assert rebase_sentence(done) == (
        "highest equity is 200.5 USDT, it was 250 USDT; the risk level is left after ten minutes, `titan arm` arms then"
    )
    refused = e.RebasePeakResponse(done=False, message="PRECONDITION: open positions: 1")
    assert rebase_sentence(refused) == "PRECONDITION: open positions: 1"
