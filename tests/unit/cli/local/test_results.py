from __future__ import annotations

import json

import pytest

from titan.cli.local.results import pending_work, print_totals, totals
from titan.cli.output import Output
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o

MARKET = m.GetMarketResponse(events=135_000, book_checks=9_996, book_mismatches=0, market_time_ns=50)
BRAIN = b.GetBrainResponse(
    intents=7,
    decisions=[b.ReasonCount(reason=c.REASON_OK, count=3), b.ReasonCount(reason=c.REASON_EDGE_TOO_SMALL, count=4)],
    policy_hash="sha256:aa",
    market_time_ns=50,
)
EXECUTION = e.GetExecutionResponse(
    orders_sent=9, orders_filled=6, orders_rejected=1, fills=8, round_trips=3, market_time_ns=50
)
EQUITY = e.GetEquityResponse(
    equity=o.Equity(known=True, fees="1.2", realized_pnl="-0.5", unrealized_pnl="0"), ledger_balanced=True
)


def test_totals() -> None:
    assert totals(MARKET, BRAIN, EXECUTION, EQUITY) == {
        "events": 135_000,
        "book_checks": {"checked": 9_996, "mismatches": 0},
        "intents": 7,
        "decisions": {"EDGE_TOO_SMALL": 4, "OK": 3},
        "orders": {"sent": 9, "filled": 6, "rejected": 1},
        "fills": 8,
        "round_trips": 3,
        "fees": "1.2",
        "realized_pnl": "-0.5",
        "unrealized_pnl": "0",
        "ledger_balanced": True,
        "policy_hash": "sha256:aa",
    }


def test_unknown_equity_is_null() -> None:
    result = totals(MARKET, BRAIN, EXECUTION, e.GetEquityResponse(equity=o.Equity(known=False, fees="9")))
    assert [result[name] for name in ("fees", "realized_pnl", "unrealized_pnl")] == [None, None, None]


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    result = totals(MARKET, BRAIN, EXECUTION, EQUITY)
    print_totals(result, Output.JSON)
    assert json.loads(capsys.readouterr().out) == result


@pytest.mark.parametrize(
    ("description", "brain", "execution", "left"),
    [
        ("all done", {}, {}, []),
        ("brain behind", {"market_time_ns": 49}, {}, ["brain is 0.000 s of market time behind"]),
        ("execution behind", {}, {"market_time_ns": 0}, ["execution is 0.000 s of market time behind"]),
        ("unsaved", {"decisions_unsaved": 2}, {}, ["2 decisions are not in the table"]),
        ("projection", {}, {"projection_lag": 5}, ["5 journal records are not in the tables"]),
    ],
)
def test_pending_work(description: str, brain: dict[str, int], execution: dict[str, int], left: list[str]) -> None:
    changed_brain, changed_execution = b.GetBrainResponse(), e.GetExecutionResponse()
    changed_brain.CopyFrom(BRAIN)
    changed_execution.CopyFrom(EXECUTION)
    for message, change in ((changed_brain, brain), (changed_execution, execution)):
        for name, value in change.items():
            setattr(message, name, value)
    assert pending_work(MARKET, changed_brain, changed_execution) == left
