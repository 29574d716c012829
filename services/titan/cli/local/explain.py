"""``explain``: decisions of the Brain that runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titan.cli.errors import Refused
from titan.cli.explain import check_id, latest_opening, show_decisions
from titan.cli.local.client import StackClient, call_stack, with_stack
from titan.cli.local.state import State
from titan.cli.output import Output

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b

# Number of decisions to search for one that opens.
_LOOK_BACK = 100


def explain(state: State, output: Output, intent_id: str | None) -> None:
    """Explain one decision; without an id the latest approved and the latest refused."""
    decisions = [_one(state, intent_id)] if intent_id is not None else with_stack(state, _latest)
    show_decisions(decisions, output, one=intent_id is not None)


def _one(state: State, intent_id: str) -> b.Decision:
    from titan.runtime.rpc.contract import BRAIN_EXPLAIN_DECISION
    from titan.v1 import brain_pb2 as b

    check_id(intent_id)
    request = b.ExplainDecisionRequest(intent_id=intent_id)
    response = call_stack(state, "brain", BRAIN_EXPLAIN_DECISION, request)
    if not response.found:
        raise Refused(f"ID: {response.message.removeprefix('intent_id: ')}")
    return response.decision


async def _latest(client: StackClient) -> list[b.Decision]:
    from titan.runtime.rpc.contract import BRAIN_LIST_DECISIONS
    from titan.v1 import brain_pb2 as b

    latest: list[b.Decision] = []
    for approved in (True, False):
        request = b.ListDecisionsRequest(limit=_LOOK_BACK, approved=approved)
        response = await client.call("brain", BRAIN_LIST_DECISIONS, request)
        latest += latest_opening(response.decisions)
    return latest
