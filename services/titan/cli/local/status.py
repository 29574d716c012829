"""``status`` and ``why``: one picture of a running stack from all its processes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titan.cli.errors import CommandError, Unreachable
from titan.cli.local.client import StackClient, with_stack
from titan.cli.local.health import Health, ask_health
from titan.cli.local.state import State
from titan.cli.output import (
    UNKNOWN,
    Column,
    Output,
    clock,
    document,
    number,
    percent,
    print_document,
    print_table,
    say,
    say_wrapped,
    short_id,
    word,
)

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m

PROCESS_COLUMNS = (
    Column("PROCESS"),
    Column("STATE"),
    Column("PID", right=True),
    Column("RESTARTS", right=True),
    Column("NOTE", wrap=True),
)


@dataclass(frozen=True)
class StackPicture:
    """What each process said; None where it did not answer, with why in ``missing``."""

    brain: b.GetBrainResponse | None
    execution: e.GetExecutionResponse | None
    market: m.GetMarketResponse | None
    health: dict[str, Health]
    missing: dict[str, str]


async def take_picture(client: StackClient, http: dict[str, str], timeout_s: float = 3.0) -> StackPicture:
    """Ask every process at the same time."""
    from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, EXECUTION_GET_EXECUTION, MARKETDATA_GET_MARKET
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m

    missing: dict[str, str] = {}

    async def answer(role: str, method: Any, request: Any) -> Any:
        try:
            return await client.call(role, method, request, timeout_s)
        except CommandError as error:
            missing[role] = str(error)
            return None

    brain, execution, market, *found = await asyncio.gather(
        answer("brain", BRAIN_GET_BRAIN, b.GetBrainRequest()),
        answer("execution", EXECUTION_GET_EXECUTION, e.GetExecutionRequest()),
        answer("marketdata", MARKETDATA_GET_MARKET, m.GetMarketRequest()),
        *(ask_health(url) for url in http.values()),
    )
    return StackPicture(brain, execution, market, dict(zip(http, found, strict=True)), missing)


def status(state: State, output: Output) -> None:
    """Show every process, and what Brain, Execution and the market say.

    Raises
    ------
    Unreachable
        When one of them does not answer; what the others said is printed all the same.
    """
    plan = state.read_plan()
    picture = with_stack(state, lambda client: take_picture(client, plan["http"]))
    if output is Output.TABLE:
        for line in summary(picture):
            say_wrapped(line, " " * 10)
        say("")
        print_table(PROCESS_COLUMNS, _process_rows(state, picture), empty="no processes")
    else:
        print_document(_status_document(state, plan, picture), output)
    if picture.missing:
        raise Unreachable("; ".join(picture.missing.values()))


def why(state: State, output: Output) -> None:
    """Say what keeps the stack from trading now, the first thing first."""
    from titan.cli.local.why import Picture, obstacles

    plan = state.read_plan()
    picture = with_stack(state, lambda client: take_picture(client, plan["http"]))
    if picture.brain is None or picture.execution is None or picture.market is None:
        raise Unreachable("; ".join(picture.missing.values()))
    not_ready = {role: health.reasons for role, health in picture.health.items() if not health.ready}
    found = obstacles(Picture(picture.brain, picture.execution, picture.market, not_ready))
    if output is not Output.TABLE:
        document_of = [{"where": one.where, "what": one.sentence, "remedy": one.remedy} for one in found]
        print_document({"obstacles": document_of}, output)
        return
    if not found:
        say("nothing is in the way: the next setup that passes the guards is traded")
    for one in found[:1]:
        say_wrapped(f"{one.where}: {one.sentence}")
        say_wrapped(f"  → {one.remedy}", "    ")
    if len(found) > 1:
        say("then:")
        for one in found[1:]:
            say_wrapped(f"  {one.where}: {one.sentence}", "    ")


def summary(picture: StackPicture) -> list[str]:
    """A few lines of at most 100 columns: market, posture, equity, orders, last decision."""
    parts = (_market_line, _posture_line, _equity_line, _orders_line, _decision_line)
    return [f"{name:<10}{text}" for name, text in (part(picture) for part in parts)]


def _market_line(picture: StackPicture) -> tuple[str, str]:
    market = picture.market
    if market is None:
        return "market", "unknown"
    if not market.market_time_ns:
        return "market", f"{market.label}, not started yet"
    ended = ", ended" if market.ended else ""
    return "market", f"{market.label}, {clock(market.market_time_ns)} UTC, {market.events} events{ended}"


def _posture_line(picture: StackPicture) -> tuple[str, str]:
    from titan.v1 import common_pb2 as c

    if picture.brain is None:
        return "posture", "unknown"
    posture, truth = picture.brain.posture, picture.brain.truth
    level = word(c.RiskLevel, posture.risk_level, "RISK_LEVEL_")
    name = word(c.Posture, posture.in_force, "POSTURE_")
    by = f" (by {posture.by})" if posture.by else ""
    score = str(truth.score) if truth.known else "unknown"
    return "posture", f"{name}{by}, {picture.brain.mode or 'paper'}, risk level {level}, truth {score}"


def _equity_line(picture: StackPicture) -> tuple[str, str]:
    if picture.brain is None:
        return "equity", "unknown"
    equity = picture.brain.equity
    if not equity.known:
        return "equity", f"unknown: {equity.reason or 'no reason given'}"
    earned = f"realized {number(equity.realized_pnl, 4)}, fees {number(equity.fees, 4)}"
    return "equity", f"{number(equity.equity, 2)} USDT, {earned}, below the highest {percent(equity.drawdown)}"


def _orders_line(picture: StackPicture) -> tuple[str, str]:
    execution = picture.execution
    if execution is None:
        return "orders", "unknown"
    ended = f"{execution.orders_filled} filled, {execution.orders_rejected} rejected"
    trades = f"{execution.fills} fills, {execution.round_trips} round trips, {execution.open_positions} open"
    return "orders", f"{execution.orders_sent} sent, {ended}, {execution.working_orders} working; {trades}"


def _decision_line(picture: StackPicture) -> tuple[str, str]:
    return "decision", "unknown" if picture.brain is None else last_decision(picture.brain)


def last_decision(brain: b.GetBrainResponse) -> str:
    """The last decision in one line."""
    from titan.v1 import common_pb2 as c

    last = brain.last_decision
    if not last.intent_id:
        return "none yet"
    side = word(c.Side, last.side, "SIDE_")
    if last.approved:
        return f"{short_id(last.intent_id)} {side} {last.symbol}: taken, {number(last.notional, 2)} USDT"
    return f"{short_id(last.intent_id)} {side} {last.symbol}: {word(c.Reason, last.reason, 'REASON_')}"


def read_processes(state: State) -> list[dict[str, Any]]:
    """What the supervisor last wrote of its processes; empty where it has written nothing yet."""
    try:
        found = json.loads(state.processes.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return list(found["processes"])


def _process_rows(state: State, picture: StackPicture) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    known = {process["name"]: process for process in read_processes(state)}
    for role, health in picture.health.items():
        process = known.get(role, {})
        shown = "ready" if health.ready else str(process.get("state", "not ready"))
        rows.append(
            (
                role,
                shown if health.ready or shown != "ready" else "not ready",
                str(process.get("pid") or UNKNOWN),
                str(process.get("restarts", UNKNOWN)),
                "; ".join(health.reasons) or str(process.get("note", "")),
            )
        )
    return rows


def _status_document(state: State, plan: dict[str, Any], picture: StackPicture) -> dict[str, Any]:
    return {
        "policy": plan["policy"],
        "processes": [
            {
                **process,
                "ready": picture.health[process["name"]].ready,
                "not_ready_reasons": list(picture.health[process["name"]].reasons),
            }
            for process in read_processes(state)
            if process["name"] in picture.health
        ],
        "brain": None if picture.brain is None else document(picture.brain),
        "execution": None if picture.execution is None else document(picture.execution),
        "market": None if picture.market is None else document(picture.market),
        "missing": picture.missing,
    }
