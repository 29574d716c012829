"""Totals of a run, collected when the market has ended and all its consequences are stored."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from titan.cli.errors import Refused, Unreachable
from titan.cli.local.client import StackClient
from titan.cli.output import UNKNOWN, Column, Output, counted, print_document, print_table, word

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m

_POLL_S = 0.2
# Execution is asked every so many polls whether waiting can still help.
_POLLS_BETWEEN_HOPES = 10
# A process may restart meanwhile. A restart does not take longer than this.
STALL_S = 120.0
_DRAIN_S = 20.0


async def wait_for_end(client: StackClient) -> m.GetMarketResponse:
    """Wait until the market has ended.

    Raises
    ------
    Refused
        When market time stands still for two minutes, or Execution can never be reconciled with the venue.
    """
    from titan.runtime.rpc.contract import MARKETDATA_GET_MARKET
    from titan.v1 import market_pb2 as m

    step, since_s, waiting_for = -1, time.monotonic(), "marketdata"
    polls = itertools.count(1)
    while True:
        if next(polls) % _POLLS_BETWEEN_HOPES == 0:
            await _raise_if_foreign(client)
        try:
            market = await client.call("marketdata", MARKETDATA_GET_MARKET, m.GetMarketRequest())
        except Unreachable:
            waiting_for = "marketdata"
        else:
            if market.ended:
                return market
            if market.step != step:
                step, since_s = market.step, time.monotonic()
            waiting_for = ", ".join(market.waiting_for)
        if time.monotonic() - since_s > STALL_S:
            raise Refused(f"market time has stood still for {STALL_S:g} s at step {step}, waiting for {waiting_for}")
        await asyncio.sleep(_POLL_S)


async def _raise_if_foreign(client: StackClient) -> None:
    from titan.runtime.rpc.contract import EXECUTION_GET_EXECUTION
    from titan.v1 import execution_pb2 as e

    try:
        execution = await client.call("execution", EXECUTION_GET_EXECUTION, e.GetExecutionRequest())
    except Unreachable:
        return
    if execution.reconciliation_problem:
        raise Refused(f"execution cannot be reconciled: {execution.reconciliation_problem}")


async def collect_totals(client: StackClient, market: m.GetMarketResponse) -> dict[str, Any]:
    """Wait until everything is decided, filled and stored, then return the totals.

    Raises
    ------
    Refused
        When work is left after the time limit; the message names it.
    """
    from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, EXECUTION_GET_EQUITY, EXECUTION_GET_EXECUTION
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e

    deadline_s = time.monotonic() + _DRAIN_S
    while True:
        hopeless = False
        try:
            brain = await client.call("brain", BRAIN_GET_BRAIN, b.GetBrainRequest())
            execution = await client.call("execution", EXECUTION_GET_EXECUTION, e.GetExecutionRequest())
            left = pending_work(market, brain, execution)
            if not left:
                equity = await client.call("execution", EXECUTION_GET_EQUITY, e.GetEquityRequest())
                return totals(market, brain, execution, equity)
            hopeless = bool(execution.reconciliation_problem)
        except Unreachable as error:
            # It may have been killed during the last steps.
            left = [str(error)]
        if hopeless or time.monotonic() > deadline_s:
            raise Refused(f"the market has ended, but {'; '.join(left)}")
        await asyncio.sleep(_POLL_S)


def pending_work(
    market: m.GetMarketResponse, brain: b.GetBrainResponse, execution: e.GetExecutionResponse
) -> list[str]:
    """Name the work left after the end of the market, a clause each."""
    left = []
    for name, reached_ns in (("brain", brain.market_time_ns), ("execution", execution.market_time_ns)):
        if reached_ns < market.market_time_ns:
            left.append(f"{name} is {(market.market_time_ns - reached_ns) / 1e9:.3f} s of market time behind")
    if brain.decisions_unsaved:
        left.append(f"{brain.decisions_unsaved} decisions are not in the table")
    if execution.projection_lag:
        because = f": {execution.database_problem}" if execution.database_problem else ""
        left.append(f"{execution.projection_lag} journal records are not in the tables{because}")
    if not execution.reconciled:
        because = f": {execution.reconciliation_problem}" if execution.reconciliation_problem else ""
        left.append(f"execution is not reconciled with the venue{because}")
    return left


def degradations(
    market: m.GetMarketResponse, execution: e.GetExecutionResponse, equity: e.GetEquityResponse
) -> list[str]:
    """Name everything for which the totals of a run are not those of a good one, a clause each."""
    found = market_degradations(market)
    found += [
        f"{counted(number, noun)} {fact}"
        for number, noun, fact in (
            (execution.refused_exits, "exit", "refused by the venue"),
            (execution.open_positions, "position", "open at the end"),
            (execution.unresolved_orders, "order", "unresolved with the venue"),
            (execution.truth.unresolved, "difference", "with the venue unresolved"),
        )
        if number
    ]
    if not equity.equity.known:
        found.append(f"equity unknown: {equity.equity.reason or 'no reason given'}")
    if not equity.ledger_balanced:
        found.append("the ledger does not balance")
    return found


def market_degradations(market: m.GetMarketResponse) -> list[str]:
    """Name what was missing or wrong in the market's data so far, a clause each."""
    found = []
    if market.book_gaps:
        found.append(f"{counted(market.book_gaps, 'hole')} in the depth: the book was empty until the next snapshot")
    if market.book_mismatches:
        found.append(f"{market.book_mismatches} of {market.book_checks} books differ from the venue's best prices")
    return found


def totals(
    market: m.GetMarketResponse,
    brain: b.GetBrainResponse,
    execution: e.GetExecutionResponse,
    equity: e.GetEquityResponse,
) -> dict[str, Any]:
    """Make the object that ``--until-end`` prints. Amounts are in USDT; null where equity is unknown."""
    from titan.v1 import common_pb2 as c

    account = equity.equity if equity.equity.known else None
    decisions = {word(c.Reason, counted.reason, "REASON_"): counted.count for counted in brain.decisions}
    return {
        "events": market.events,
        "book_checks": {"checked": market.book_checks, "mismatches": market.book_mismatches},
        "intents": brain.intents,
        "decisions": dict(sorted(decisions.items())),
        "orders": {
            "sent": execution.orders_sent,
            "filled": execution.orders_filled,
            "rejected": execution.orders_rejected,
        },
        "fills": execution.fills,
        "round_trips": execution.round_trips,
        "fees": None if account is None else account.fees,
        "other_fees": dict(sorted(equity.other_fees.items())),
        "realized_pnl": None if account is None else account.realized_pnl,
        "unrealized_pnl": None if account is None else account.unrealized_pnl,
        "ledger_balanced": equity.ledger_balanced,
        "policy_hash": brain.policy_hash,
        "degraded": degradations(market, execution, equity),
    }


def print_totals(result: dict[str, Any], output: Output) -> None:
    """Print the totals of a run."""
    if output is not Output.TABLE:
        print_document(result, output)
        return
    rows = [(name.replace("_", " "), _cell(value)) for name, value in result.items()]
    print_table((Column("RUN"), Column("", wrap=True)), rows, empty="nothing")


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "no"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return UNKNOWN if value is None else str(value)
