"""``explain``: the ordered guards of a decision, each with value, limit and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused
from titan.cli.local.client import StackClient, ask, with_stack
from titan.cli.local.state import State
from titan.cli.output import (
    UNKNOWN,
    Column,
    Output,
    clock,
    document,
    number,
    print_document,
    print_table,
    say,
    say_wrapped,
    word,
)

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b

GUARD_COLUMNS = (
    Column("#", right=True),
    Column("GUARD"),
    Column("VALUE", wrap=True),
    Column("LIMIT", wrap=True),
    Column("VERDICT", wrap=True),
    Column("LARGEST", right=True),
)
SHORTEST_ID = 4
# How many decisions are looked through for one that opens.
_LOOK_BACK = 100


def explain(state: State, output: Output, intent_id: str | None) -> None:
    """Explain one decision; without an id the latest that was taken and the latest that was refused."""
    decisions = [_one(state, intent_id)] if intent_id is not None else with_stack(state, _latest)
    show_decisions(decisions, output, one=intent_id is not None)


def show_decisions(decisions: Sequence[b.Decision], output: Output, *, one: bool) -> None:
    """Print decisions; as one object where ``one`` was asked for.

    Raises
    ------
    Refused
        When there are none.
    """
    if not decisions:
        raise Refused("nothing has been decided yet; `titan why` says what is missing")
    if output is not Output.TABLE:
        documents = [document(decision) for decision in decisions]
        print_document(documents[0] if one else {"decisions": documents}, output)
        return
    for index, decision in enumerate(decisions):
        if index:
            say("")
        print_decision(decision)


def print_decision(decision: b.Decision) -> None:
    """Print one decision: what was wanted, what was decided, and the table of guards."""
    for line in headline(decision):
        say_wrapped(line, " " * 8)
    say("")
    print_table(GUARD_COLUMNS, guard_rows(decision), empty="no guard was asked")


def headline(decision: b.Decision) -> list[str]:
    """What was wanted and what became of it, a few lines."""
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c

    side = word(c.Side, decision.side, "SIDE_")
    action = word(b.Action, decision.action, "ACTION_")
    wanted = f"{decision.phase_id}: {action} {side} {decision.symbol} by setup {decision.setup or UNKNOWN}"
    prices = [
        f"{name} {price}"
        for name, price in (
            ("at", decision.reference_price),
            ("stop", decision.stop_price),
            ("target", decision.target_price),
        )
        if price not in ("", "0")
    ]
    if decision.approved:
        size = f"quantity {decision.quantity}, notional {number(decision.notional, 2)} USDT"
        verdict = f"TAKEN   {size}"
    else:
        verdict = f"REFUSED {decision.message or word(c.Reason, decision.reason, 'REASON_')}"
        if decision.largest_notional:
            verdict += f"; largest size that would have passed: {number(decision.largest_notional, 2)} USDT"
    lines = [f"{decision.intent_id}  {clock(decision.market_time_ns)} UTC", wanted + _join(", ", prices), verdict]
    score = f"score {decision.setup_score:.3f}" if decision.setup_score else ""
    evidence = [f"{name} {decision.evidence[name]}" for name in sorted(decision.evidence)]
    if score or evidence:
        lines.append("why     " + ", ".join([*([score] if score else []), *evidence]))
    lines.append(f"policy  {decision.policy_hash}")
    return lines


def guard_rows(decision: b.Decision) -> list[tuple[str, ...]]:
    """Cells of :data:`GUARD_COLUMNS`; LARGEST is the largest notional that the guard would have let pass."""
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c

    rows: list[tuple[str, ...]] = []
    for guard in decision.guards:
        verdict = word(b.Verdict, guard.verdict, "VERDICT_").replace("_", " ").lower()
        if guard.verdict == b.VERDICT_REJECT:
            verdict = f"REJECT {word(c.Reason, guard.reason, 'REASON_')}"
        elif guard.verdict == b.VERDICT_SHRINK:
            verdict = "SHRINK"
        rows.append(
            (
                str(guard.number),
                guard.name,
                guard.value or UNKNOWN,
                guard.limit or UNKNOWN,
                verdict,
                number(guard.largest_notional, 2) if guard.largest_notional else "",
            )
        )
    return rows


def _join(separator: str, parts: list[str]) -> str:
    return separator + ", ".join(parts) if parts else ""


def check_id(intent_id: str) -> None:
    """Raise :class:`BadInput` where the beginning of an id is too short to mean one."""
    if len(intent_id) < SHORTEST_ID:
        raise BadInput(f"ID: {intent_id!r} is too short; allowed is an intent's id or at least 4 characters of it")


def _one(state: State, intent_id: str) -> b.Decision:
    from titan.runtime.rpc.contract import BRAIN_EXPLAIN_DECISION
    from titan.v1 import brain_pb2 as b

    check_id(intent_id)
    request = b.ExplainDecisionRequest(intent_id=intent_id)
    response = ask(state, "brain", BRAIN_EXPLAIN_DECISION, request)
    if not response.found:
        raise Refused(response.message or f"no decision has an id that begins with {intent_id!r}")
    return response.decision


async def _latest(client: StackClient) -> list[b.Decision]:
    from titan.runtime.rpc.contract import BRAIN_LIST_DECISIONS
    from titan.v1 import brain_pb2 as b

    found: list[b.Decision] = []
    for approved in (True, False):
        request = b.ListDecisionsRequest(limit=_LOOK_BACK, approved=approved)
        response = await client.call("brain", BRAIN_LIST_DECISIONS, request)
        found += most_telling(response.decisions)
    return found


def most_telling(decisions: Sequence[b.Decision]) -> list[b.Decision]:
    """Of decisions, newest first, the newest that opens: what reduces passes every guard without a number."""
    from titan.v1 import brain_pb2 as b

    opening = [decision for decision in decisions if decision.position_effect == b.POSITION_EFFECT_OPENING]
    return (opening or list(decisions))[:1]
