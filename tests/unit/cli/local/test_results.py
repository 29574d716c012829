from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message

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
    orders_sent=9, orders_filled=6, orders_rejected=1, fills=8, round_trips=3, market_time_ns=50, reconciled=True
)
EQUITY = e.GetEquityResponse(
    equity=o.Equity(known=True, fees="1.2", realized_pnl="-0.5", unrealized_pnl="0"),
    ledger_balanced=True,
    other_fees={"BNB": "0.0004"},
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
        "other_fees": {"BNB": "0.0004"},
        "realized_pnl": "-0.5",
        "unrealized_pnl": "0",
        "ledger_balanced": True,
        "policy_hash": "sha256:aa",
        "degraded": [],
    }


@pytest.mark.parametrize(
    ("description", "market", "execution", "equity", "clause"),
    [
        ("a lost depth line", {"book_gaps": 1}, {}, {}, "1 hole in the depth: the book was empty until the next"),
        ("wrong books", {"book_mismatches": 3}, {}, {}, "3 of 9996 books differ from the venue's best prices"),
        ("refused exits", {}, {"refused_exits": 43}, {}, "43 exits refused by the venue"),
        ("a position left", {}, {"open_positions": 1}, {}, "1 position open at the end"),
        ("an order in doubt", {}, {"unresolved_orders": 1}, {}, "1 order unresolved with the venue"),
        ("a drift", {}, {"truth": o.TruthSnapshot(unresolved=2)}, {}, "2 differences with the venue unresolved"),
        ("no equity", {}, {}, {"equity": o.Equity(reason="no price")}, "equity unknown: no price"),
        ("a ledger", {}, {}, {"ledger_balanced": False}, "the ledger does not balance"),
    ],
)
def test_a_degraded_run_names_each_cause(
    description: str, market: dict[str, Any], execution: dict[str, Any], equity: dict[str, Any], clause: str
) -> None:
    result = totals(_changed(MARKET, market), BRAIN, _changed(EXECUTION, execution), _changed(EQUITY, equity))
    assert [cause.startswith(clause) for cause in result["degraded"]] == [True], description


def _changed(message: Any, fields: dict[str, Any]) -> Any:
    made = type(message)()
    made.CopyFrom(message)
    for name, value in fields.items():
        if isinstance(value, Message):
            getattr(made, name).CopyFrom(value)
        else:
            setattr(made, name, value)
    return made


def test_the_table_names_the_causes(capsys: pytest.CaptureFixture[str]) -> None:
    print_totals(totals(_changed(MARKET, {"book_gaps": 2}), BRAIN, EXECUTION, EQUITY), Output.TABLE)
    assert "degraded" in (out := capsys.readouterr().out)
    assert "2 holes in the depth" in out


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
        (
            "projection that never ends",
            {},
            {"projection_lag": 5, "database_problem": "database: it is full"},
            ["5 journal records are not in the tables: database: it is full"],
        ),
        ("not reconciled", {}, {"reconciled": False}, ["execution is not reconciled with the venue"]),
        (
            "another account",
            {},
            {"reconciled": False, "reconciliation_problem": "the venue's last trade is 0, ours is 5"},
            ["execution is not reconciled with the venue: the venue's last trade is 0, ours is 5"],
        ),
    ],
)
def test_pending_work(description: str, brain: dict[str, int], execution: dict[str, Any], left: list[str]) -> None:
    assert pending_work(MARKET, _changed(BRAIN, brain), _changed(EXECUTION, execution)) == left
