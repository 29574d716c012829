"""Tables from messages: their cells, and the width of the widest real rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from titan.cli.explain import GUARD_COLUMNS, NOT_BUILT, guard_rows, headline, latest_opening, print_decision
from titan.cli.local import listings
from titan.cli.output import Column, print_table
from titan.risk.guards.table import GUARDS
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o

INTENT = "01912f3c-7a1b-7c3d-8e4f-0123456789ab"
TIME_NS = 1_723_161_255_123_456_789
ORDER = o.Order(
    client_order_id="t" + "a" * 31,
    intent_id=INTENT,
    phase_id="scavenger",
    order_role=o.ORDER_ROLE_TARGET,
    symbol="BTC/USDT:USDT",
    side=c.SIDE_SELL,
    quantity="0.123",
    filled_quantity="0.023",
    trigger_price="61234.56",
    state=o.ORDER_STATE_CANCELED,
    reason=c.REASON_POSITION_CLOSED,
    updated_ns=TIME_NS,
)
FILL = o.Fill(
    intent_id=INTENT,
    order_role=o.ORDER_ROLE_ENTRY,
    symbol="BTC/USDT:USDT",
    side=c.SIDE_BUY,
    quantity="0.123",
    price="61234.56789",
    fee="3.76592592",
    realized_pnl="-12.34567",
    event_time_ns=TIME_NS,
)
POSITION = o.Position(
    symbol="BTC/USDT:USDT",
    quantity="-0.123",
    average_entry_price="61234.5678",
    mark_price="61200.1",
    unrealized_pnl="-123.456789",
    stop_price="61500",
    stop_quantity="0.123",
    target_price="60000",
    shares=[o.PhaseShare(phase_id="scavenger")],
)
DECISION = b.Decision(
    intent_id=INTENT,
    phase_id="scavenger",
    symbol="BTC/USDT:USDT",
    side=c.SIDE_BUY,
    action=b.ACTION_OPEN,
    setup="structural_breakout",
    reference_price="61234.5",
    stop_price="60989.6",
    target_price="61601.9",
    setup_score=0.7312,
    reason=c.REASON_EDGE_TOO_SMALL,
    message="EDGE_TOO_SMALL: min=0.0011, edge=0.00042",
    largest_notional="812.345",
    policy_hash="sha256:" + "d" * 64,
    market_time_ns=TIME_NS,
    evidence={"level": "61230", "spot_trades": "17"},
    guards=[
        b.GuardResult(number=0, name="lane", value="opening", verdict=b.VERDICT_PASS),
        b.GuardResult(
            number=8,
            name="edge",
            value="stop=0.004, target=0.006, p=0.4123, edge=0.00042, cost=0.0011",
            limit="minEdgeToCost=1, cost=0.0011",
            verdict=b.VERDICT_REJECT,
            reason=c.REASON_EDGE_TOO_SMALL,
        ),
        b.GuardResult(number=15, name="notional", verdict=b.VERDICT_NOT_REACHED),
        b.GuardResult(number=16, name="leverage", verdict=b.VERDICT_SHRINK, largest_notional="812.345"),
    ],
)


def lines_of(capsys: pytest.CaptureFixture[str], columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    print_table(columns, rows, empty="none")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("columns", "rows", "cells"),
    [
        (
            listings.ORDER_COLUMNS,
            listings.order_rows([ORDER]),
            ["23:54:15", INTENT[:13], "TARGET", "SELL", "0.023/0.123", "61234.56", "CANCELED:", "POSITION_CLOSED"],
        ),
        (listings.FILL_COLUMNS, listings.fill_rows([FILL]), ["ENTRY", "61234.5679", "3.7659", "-12.3457"]),
        (listings.POSITION_COLUMNS, listings.position_rows([POSITION]), ["-0.123", "-123.4568", "61500", "scavenger"]),
        (GUARD_COLUMNS, guard_rows(DECISION), ["edge", "not reached", "SHRINK", "EDGE_TOO_SMALL"]),
    ],
)
def test_table_fits_100_columns(
    capsys: pytest.CaptureFixture[str], columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: list[str]
) -> None:
    lines = lines_of(capsys, columns, rows)
    assert max(map(len, lines)) <= 100
    assert [cell for cell in cells if cell not in " ".join(lines)] == []


@pytest.mark.parametrize(
    ("description", "change", "price"),
    [
        ("filled: what it cost", {"average_price": "61000.5"}, "61000.5"),
        ("waiting: what it waits for", {}, "61234.56"),
        ("market order on its way", {"trigger_price": ""}, "market"),
    ],
)
def test_price_of_an_order(description: str, change: dict[str, str], price: str) -> None:
    order = o.Order()
    order.CopyFrom(ORDER)
    for name, value in change.items():
        setattr(order, name, value)
    assert listings.order_rows([order])[0][6] == price


def test_unknown_equity_shows_no_number() -> None:
    response = e.GetEquityResponse(equity=o.Equity(known=False, reason="no mark for BTC/USDT", equity="200"))
    assert listings.equity_rows(response) == [("equity", "unknown: no mark for BTC/USDT")]


def test_equity_has_its_units_and_the_drawdown_its_name() -> None:
    account = o.Equity(known=True, equity="199.87", fees="0.1235", drawdown="0.0006", market_time_ns=TIME_NS)
    account.confirmed_equity, account.net_deposits, account.oldest_mark_ns = "199.5", "200", TIME_NS - 300_000_000
    rows = dict(listings.equity_rows(e.GetEquityResponse(equity=account, round_trips=2)))
    assert (rows["equity"], rows["fees"], rows["drawdown from it"]) == ("199.87 USDT", "0.1235 USDT", "0.06 %")
    assert (rows["at prices printed twice"], rows["deposits less withdrawals"]) == ("199.5 USDT", "200 USDT")
    assert rows["oldest price in it"] == "0.3 s old"
    assert (rows["round trips"], rows["as of"]) == ("2", "08-08 23:54:15.123 UTC")


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (listings.ORDER_COLUMNS, {"FILLED/TOTAL", "PRICE"}),
        (listings.FILL_COLUMNS, {"FEE (USDT)", "PNL (USDT)"}),
        (listings.POSITION_COLUMNS, {"PNL (USDT)", "STOP QTY"}),
        (GUARD_COLUMNS, {"MAX SIZE\n(USDT)"}),
    ],
)
def test_titles_explain_themselves(columns: Sequence[Column], titles: set[str]) -> None:
    found = {column.title for column in columns}
    assert titles <= found
    assert found.isdisjoint({"AT", "COVERED", "LARGEST", "FILLED/OF", "FEE", "REALIZED", "UNREALIZED"})


def test_every_number_of_a_guard_is_built_or_named_as_not_built() -> None:
    assert sorted({*NOT_BUILT, *(guard.number for guard in GUARDS)}) == list(range(21))


def test_guards_that_are_not_built_are_one_row_in_their_place() -> None:
    rows = guard_rows(b.Decision(guards=[b.GuardResult(number=guard.number, name=guard.name) for guard in GUARDS]))
    assert [row[0] for row in rows] == list(map(str, range(21)))
    assert rows[12] == ("12", "not built yet", "12 regime", "–", "not checked", "")


def test_a_record_of_an_older_brain_names_the_guards_that_did_not_run() -> None:
    rows = guard_rows(b.Decision(guards=[b.GuardResult(number=number) for number in (*range(9), *range(15, 20))]))
    assert [row[0] for row in rows] == [*map(str, range(9)), "9–14", "15", "16", "17", "18", "19"]
    assert rows[9][2] == (
        "9 stop distance, 10 latency, 11 execution quality, 12 regime, 13 tail limits, 14 correlation"
    )
    assert (rows[9][1], rows[9][4]) == ("not built yet", "not checked")


def test_a_guard_of_a_newer_brain_is_no_longer_named_as_not_built() -> None:
    rows = guard_rows(b.Decision(guards=[b.GuardResult(number=number) for number in (8, 9, 10, 11, 12, 13, 15)]))
    assert [row[0] for row in rows if row[1] == "not built yet"] == ["14"]


def test_ledger_out_of_balance_is_seen() -> None:
    response = e.GetEquityResponse(equity=o.Equity(known=True, equity="200"), ledger_balanced=False)
    assert ("ledger", "NOT BALANCED") in listings.equity_rows(response)


def test_refusal_shows_its_reason_and_the_size_that_would_have_passed(capsys: pytest.CaptureFixture[str]) -> None:
    print_decision(DECISION)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    flat = " ".join(printed.split())
    assert "REFUSED EDGE_TOO_SMALL: min=0.0011, edge=0.00042; largest size that would have passed: 812.34" in flat
    assert "why setup score 0.731 of 1, level 61230, spot_trades 17" in flat


def test_approval_shows_the_size() -> None:
    taken = b.Decision(approved=True, quantity="0.003", notional="183.7035", reason=c.REASON_OK)
    assert "TAKEN   quantity 0.003, notional 183.70 USDT" in headline(taken)
    taken.explores = True
    taken.not_enforced.append("onVenueFailure")
    assert "TAKEN   EXPLORE, quantity 0.003, notional 183.70 USDT" in headline(taken)
    assert headline(taken)[-1] == "policy  not enforced: onVenueFailure"


@pytest.mark.parametrize(
    ("description", "position_effects", "found"),
    [
        (
            "the newest that opens",
            [b.POSITION_EFFECT_REDUCING, b.POSITION_EFFECT_OPENING, b.POSITION_EFFECT_OPENING],
            ["1"],
        ),
        ("none opens: the newest", [b.POSITION_EFFECT_REDUCING, b.POSITION_EFFECT_REDUCING], ["0"]),
        ("nothing yet", [], []),
    ],
)
def test_latest_opening(description: str, position_effects: Sequence[b.PositionEffect], found: list[str]) -> None:
    decisions = [
        b.Decision(intent_id=str(index), position_effect=position_effect)
        for index, position_effect in enumerate(position_effects)
    ]
    assert [decision.intent_id for decision in latest_opening(decisions)] == found
