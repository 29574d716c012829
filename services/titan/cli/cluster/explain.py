"""``explain``: Brain's latest decisions, read from its HTTP port through the API server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from titan.cli.cluster.session import Cluster, ClusterTarget, with_cluster
from titan.cli.cluster.stack_view import StackView
from titan.cli.errors import Refused
from titan.cli.explain import check_id, latest_opening, show_decisions
from titan.cli.output import Output

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b

PAGE = "decisions"


def explain(target: ClusterTarget, output: Output, intent_id: str | None) -> None:
    """Explain one decision; without an id the latest approved and the latest refused.

    Raises
    ------
    Refused
        When there is no Brain, the user may not read its page, or the id selects no decision or several.
    """
    if intent_id is not None:
        check_id(intent_id)
    decisions = decisions_of(with_cluster(target, _page))
    show_decisions(select_decisions(decisions, intent_id), output, one=intent_id is not None)


async def _page(cluster: Cluster) -> dict[str, Any]:
    return await cluster.page(brain_of(await cluster.stack_view()), PAGE)


def brain_of(stack_view: StackView) -> str:
    """Find the name of the namespace's Brain; :class:`Refused` where there is none."""
    name = next((item.name for item in stack_view.phases if item.text("spec", "role") == "brain"), None)
    if name is None:
        raise Refused(f"namespace {stack_view.namespace} has no TitanPhase of role brain: nothing decides there")
    return name


def decisions_of(page: dict[str, Any]) -> list[b.Decision]:
    """Parse the page to messages, newest first; :class:`Refused` where it is of another version."""
    from google.protobuf.json_format import ParseDict, ParseError

    from titan.v1 import brain_pb2 as b

    try:
        return list(ParseDict(page, b.ListDecisionsResponse()).decisions)
    except ParseError as error:
        raise Refused(
            f"brain's page /{PAGE} is of another version than this program; use the kubectl-titan of brain's release"
        ) from error


def select_decisions(decisions: Sequence[b.Decision], intent_id: str | None) -> list[b.Decision]:
    """Pure: select the decision of this id, or without an id the latest opening ones."""
    if intent_id is None:
        parts = ([one for one in decisions if one.approved is approved] for approved in (True, False))
        return [one for part in parts for one in latest_opening(part)]
    matching = [one for one in decisions if one.intent_id.startswith(intent_id)]
    if len(matching) == 1:
        return matching
    if not matching:
        raise Refused(f"ID: none of the last {len(decisions)} decisions has an id that begins with {intent_id!r}")
    ids = ", ".join(one.intent_id for one in matching[:5])
    raise Refused(
        f"{len(matching)} decisions have ids that begin with {intent_id!r}: {ids}; "
        "allowed is a beginning that only one decision has"
    )
