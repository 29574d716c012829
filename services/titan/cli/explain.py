"""Decisions as text: the ordered guards of each, with value, limit and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused
from titan.cli.output import (
    UNKNOWN,
    Column,
    Output,
    clock,
    document,
    number,
    print_document,
    print_table,
    print_text,
    print_wrapped,
    usdt,
    word,
)
from titan.domain.policy_enforcement import gaps_line

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b

GUARD_COLUMNS = (
    Column("#", right=True),
    Column("GUARD"),
    Column("VALUE", wrap=True),
    Column("LIMIT", wrap=True),
    Column("VERDICT", wrap=True),
    Column("MAX SIZE\n(USDT)", right=True),
)
SHORTEST_ID = 4
# Guards that an older Brain did not run; 12 runs in no version. A number that is missing would read like a pass.
NOT_BUILT: Mapping[int, str] = {
    9: "stop distance",
    10: "latency",
    11: "execution quality",
    12: "regime",
    13: "tail limits",
    14: "correlation",
}


def show_decisions(decisions: Sequence[b.Decision], output: Output, *, one: bool) -> None:
    """Print decisions; as one object where ``one`` is set.

    Raises
    ------
    Refused
        When there are none.
    """
    if not decisions:
        raise Refused("no decision yet; `titan why` shows the reason")
    if output is not Output.TABLE:
        documents = [document(decision) for decision in decisions]
        print_document(documents[0] if one else {"decisions": documents}, output)
        return
    for index, decision in enumerate(decisions):
        if index:
            print_text("")
        print_decision(decision)


def print_decision(decision: b.Decision) -> None:
    """Print one decision: the request, the verdict, and the table of guards."""
    for line in headline(decision):
        print_wrapped(line, " " * 8)
    print_text("")
    print_table(GUARD_COLUMNS, guard_rows(decision), empty="no guard has run")


def headline(decision: b.Decision) -> list[str]:
    """Describe the request and its outcome in a few lines."""
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c

    side = word(c.Side, decision.side, "SIDE_")
    action = word(b.Action, decision.action, "ACTION_")
    request = f"{decision.phase_id}: {action} {side} {decision.symbol} by setup {decision.setup or UNKNOWN}"
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
        explores = "EXPLORE, " if decision.explores else ""
        verdict = f"TAKEN   {explores}quantity {decision.quantity}, notional {usdt(decision.notional, 2)}"
    else:
        verdict = f"REFUSED {decision.message or word(c.Reason, decision.reason, 'REASON_')}"
        if decision.largest_notional:
            verdict += f"; largest size that would have passed: {usdt(decision.largest_notional, 2)}"
    lines = [
        f"{decision.intent_id}  {clock(decision.market_time_ns)} UTC",
        ", ".join([request, *prices]),
        verdict,
    ]
    score = [f"setup score {decision.setup_score:.3f} of 1"] if decision.setup_score else []
    evidence = [f"{name} {decision.evidence[name]}" for name in sorted(decision.evidence)]
    if score or evidence:
        lines.append("why     " + ", ".join([*score, *evidence]))
    lines.append(f"policy  {decision.policy_hash}")
    if open_rules := gaps_line(decision.not_enforced):
        lines.append(f"policy  {open_rules}")
    return lines


def guard_rows(decision: b.Decision) -> list[tuple[str, ...]]:
    """Make cells of :data:`GUARD_COLUMNS`, with one row in place of the guards that are not built.

    MAX SIZE is the largest notional that the guard would have passed.
    """
    from titan.v1 import brain_pb2 as b
    from titan.v1 import common_pb2 as c

    rows: list[tuple[str, ...]] = []
    absent = sorted(set(NOT_BUILT) - {guard.number for guard in decision.guards})
    for guard in decision.guards:
        if absent and guard.number > absent[-1]:
            rows.append(_not_built_row(absent))
            absent = []
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


def _not_built_row(numbers: Sequence[int]) -> tuple[str, ...]:
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"
    names = ", ".join(f"{each} {NOT_BUILT[each]}" for each in numbers)
    return (span, "not built yet", names, UNKNOWN, "not checked", "")


def check_id(intent_id: str) -> None:
    """Raise :class:`BadInput` where the beginning of an id is too short to select one."""
    if len(intent_id) < SHORTEST_ID:
        raise BadInput(
            f"ID: {intent_id!r} is too short; allowed are {SHORTEST_ID} or more characters of an intent id, "
            "like 01a1fc85-9bb8"
        )


def latest_opening(decisions: Sequence[b.Decision]) -> list[b.Decision]:
    """Select, from decisions with the newest first, the newest that opens, else the newest.

    A reducing decision passes every guard without a number, so it explains little.
    """
    from titan.v1 import brain_pb2 as b

    opening = [decision for decision in decisions if decision.position_effect == b.POSITION_EFFECT_OPENING]
    return (opening or list(decisions))[:1]
