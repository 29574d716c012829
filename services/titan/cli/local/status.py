"""``status`` and ``why``: one snapshot of a running stack from all its processes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from titan.cli.errors import CommandError, Unreachable
from titan.cli.local.client import StackClient, with_stack
from titan.cli.local.health import Health, fetch_health
from titan.cli.local.results import market_degradations
from titan.cli.local.state import State
from titan.cli.obstacles import print_obstacles
from titan.cli.output import (
    UNKNOWN,
    Column,
    Output,
    age,
    clock,
    counted,
    document,
    percent,
    print_document,
    print_table,
    print_text,
    print_wrapped,
    short_id,
    truth_score,
    usdt,
    word,
)
from titan.domain.policy_enforcement import gaps_line

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m

# Execution reports many times a second. An equity that is older is shown with its age.
_LATE_NS = 2_000_000_000

PROCESS_COLUMNS = (
    Column("PROCESS"),
    Column("STATE"),
    Column("PID", right=True),
    Column("RESTARTS", right=True),
    Column("NOTE", wrap=True),
)


@dataclass(frozen=True)
class StackSnapshot:
    """One answer of each process; None where it did not answer, with the reason in ``missing``."""

    brain: b.GetBrainResponse | None
    execution: e.GetExecutionResponse | None
    market: m.GetMarketResponse | None
    health: dict[str, Health]
    missing: dict[str, str]


async def read_snapshot(client: StackClient, http: dict[str, str], timeout_s: float = 3.0) -> StackSnapshot:
    """Read the state of every process at the same time."""
    from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, EXECUTION_GET_EXECUTION, MARKETDATA_GET_MARKET
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m

    missing: dict[str, str] = {}

    async def read(role: str, method: Any, request: Any) -> Any:
        try:
            return await client.call(role, method, request, timeout_s)
        except CommandError as error:
            missing[role] = str(error)
            return None

    brain, execution, market, *health = await asyncio.gather(
        read("brain", BRAIN_GET_BRAIN, b.GetBrainRequest()),
        read("execution", EXECUTION_GET_EXECUTION, e.GetExecutionRequest()),
        read("marketdata", MARKETDATA_GET_MARKET, m.GetMarketRequest()),
        *(fetch_health(url) for url in http.values()),
    )
    return StackSnapshot(brain, execution, market, dict(zip(http, health, strict=True)), missing)


def status(state: State, output: Output) -> None:
    """Show every process, and the state of Brain, Execution and the market.

    Raises
    ------
    Unreachable
        When one of them does not answer, after the answers of the others are printed.
    """
    plan = state.read_plan()
    snapshot = with_stack(state, lambda client: read_snapshot(client, plan["http"]))
    if output is Output.TABLE:
        for line in summary(snapshot):
            print_wrapped(line, " " * 10)
        print_text("")
        print_table(PROCESS_COLUMNS, _process_rows(state, snapshot), empty="no processes")
    else:
        print_document(_status_document(state, plan, snapshot), output)
    if snapshot.missing:
        raise Unreachable("; ".join(snapshot.missing.values()))


def known_equity(state: State) -> Decimal | None:
    """Return the equity of a stack that runs; None where none answers, or its equity is unknown."""
    try:
        plan = state.read_plan()
        snapshot = with_stack(state, lambda client: read_snapshot(client, plan["http"]))
    except CommandError:
        return None
    if snapshot.brain is None or not snapshot.brain.equity.known:
        return None
    return Decimal(snapshot.brain.equity.equity)


def why(state: State, output: Output) -> None:
    """Show what keeps the stack from trading now, the first obstacle first."""
    from titan.cli.local.why import Observed, not_ready_obstacles, obstacles

    plan = state.read_plan()
    snapshot = with_stack(state, lambda client: read_snapshot(client, plan["http"]))
    not_ready = {role: health.reasons for role, health in snapshot.health.items() if not health.ready}
    since = {str(process["name"]): str(process.get("since", ""))[11:19] for process in read_processes(state)}
    if snapshot.brain is None or snapshot.execution is None or snapshot.market is None:
        if not_ready:
            print_obstacles(not_ready_obstacles(not_ready, since), output, none="")
        raise Unreachable("; ".join(snapshot.missing.values()))
    print_obstacles(
        obstacles(Observed(snapshot.brain, snapshot.execution, snapshot.market, not_ready, since)),
        output,
        none="nothing is in the way: the next setup that passes the guards is traded",
    )


def summary(snapshot: StackSnapshot) -> list[str]:
    """Describe market, posture, equity, orders and the last decision in a few lines of at most 100 columns."""
    parts = (_market_line, _posture_line, _policy_line, _equity_line, _budget_line, _orders_line, _decision_line)
    return [f"{name:<10}{text}" for name, text in (part(snapshot) for part in parts)]


def _market_line(snapshot: StackSnapshot) -> tuple[str, str]:
    market = snapshot.market
    if market is None:
        return "market", "unknown"
    if not market.market_time_ns:
        return "market", f"{market.label}, not started yet"
    ended = ", ended" if market.ended else ""
    text = f"{market.label}, {clock(market.market_time_ns)} UTC, {counted(market.events, 'event')}{ended}"
    return "market", "; degraded: ".join([text, *market_degradations(market)])


def _posture_line(snapshot: StackSnapshot) -> tuple[str, str]:
    from titan.v1 import common_pb2 as c

    if snapshot.brain is None:
        return "posture", "unknown"
    posture, truth = snapshot.brain.posture, snapshot.brain.truth
    level = word(c.RiskLevel, posture.risk_level, "RISK_LEVEL_")
    name = word(c.Posture, posture.in_force, "POSTURE_")
    by = f" (set by {posture.by})" if posture.by else ""
    score = truth_score(truth.score) if truth.known else "truth score unknown"
    return "posture", f"{name}{by}, {snapshot.brain.mode or 'paper'}, risk level {level}, {score}"


def _policy_line(snapshot: StackSnapshot) -> tuple[str, str]:
    if snapshot.brain is None:
        return "policy", "unknown"
    open_rules = gaps_line(snapshot.brain.not_enforced)
    return "policy", open_rules or "every rule is enforced"


def _equity_line(snapshot: StackSnapshot) -> tuple[str, str]:
    if snapshot.brain is None:
        return "equity", "unknown"
    equity, now_ns = snapshot.brain.equity, snapshot.brain.market_time_ns
    old = f", {age(snapshot.brain.equity_as_of_ns, now_ns)}" if _shows_age(snapshot.brain) else ""
    if not equity.known:
        return "equity", f"unknown: {equity.reason or 'no reason given'}{old}"
    if old and equity.oldest_mark_ns:
        old += f", prices {age(equity.oldest_mark_ns, now_ns)}"
    earned = f"realized {usdt(equity.realized_pnl, 4)} before fees, fees {usdt(equity.fees, 4)}"
    return "equity", f"{usdt(equity.equity, 2)}{old}, {earned}, drawdown {percent(equity.drawdown)}"


def _budget_line(snapshot: StackSnapshot) -> tuple[str, str]:
    from titan.v1 import brain_pb2 as b

    if snapshot.brain is None:
        return "budgets", "unknown"
    budgets = [
        f"{phase.phase_id} {word(b.BudgetState, phase.budget.state, 'BUDGET_STATE_')}, "
        f"{usdt(phase.budget.allocation, 2)}, sizes x {phase.budget.modifier or '1'} ({phase.budget.modifier_reason})"
        for phase in snapshot.brain.phases
        if phase.HasField("budget")
    ]
    return "budgets", "; ".join(budgets) or "none granted yet"


def _shows_age(brain: b.GetBrainResponse) -> bool:
    """Whether Execution is late; a fresh equity needs no age, which would change with every look."""
    return brain.market_time_ns - brain.equity_as_of_ns > _LATE_NS


def _orders_line(snapshot: StackSnapshot) -> tuple[str, str]:
    execution = snapshot.execution
    if execution is None:
        return "orders", "unknown"
    ended = f"{execution.orders_filled} filled, {execution.orders_rejected} rejected"
    trades = ", ".join(
        (
            counted(execution.fills, "fill"),
            counted(execution.round_trips, "round trip"),
            counted(execution.open_positions, "open position"),
        )
    )
    return "orders", f"{execution.orders_sent} sent, {ended}, {execution.working_orders} working; {trades}"


def _decision_line(snapshot: StackSnapshot) -> tuple[str, str]:
    return "decision", "unknown" if snapshot.brain is None else last_decision(snapshot.brain)


def last_decision(brain: b.GetBrainResponse) -> str:
    """Describe the last decision in one line."""
    from titan.v1 import common_pb2 as c

    last = brain.last_decision
    if not last.intent_id:
        return "none since brain started; `titan explain` shows earlier ones"
    side = word(c.Side, last.side, "SIDE_")
    if last.approved:
        return f"{short_id(last.intent_id)} {side} {last.symbol}: taken, {usdt(last.notional, 2)}"
    return f"{short_id(last.intent_id)} {side} {last.symbol}: {word(c.Reason, last.reason, 'REASON_')}"


def read_processes(state: State) -> list[dict[str, Any]]:
    """Read the last state that the supervisor wrote of its processes; empty where it has written none."""
    try:
        document = json.loads(state.processes.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return list(document["processes"])


def _process_rows(state: State, snapshot: StackSnapshot) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    known = {process["name"]: process for process in read_processes(state)}
    for role, health in snapshot.health.items():
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


def _status_document(state: State, plan: dict[str, Any], snapshot: StackSnapshot) -> dict[str, Any]:
    return {
        "policy": plan["policy"],
        "processes": [
            {
                **process,
                "ready": snapshot.health[process["name"]].ready,
                "not_ready_reasons": list(snapshot.health[process["name"]].reasons),
            }
            for process in read_processes(state)
            if process["name"] in snapshot.health
        ],
        "brain": None if snapshot.brain is None else document(snapshot.brain),
        "execution": None if snapshot.execution is None else document(snapshot.execution),
        "market": None if snapshot.market is None else document(snapshot.market),
        "missing": snapshot.missing,
    }
