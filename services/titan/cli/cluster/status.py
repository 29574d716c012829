"""``status`` and ``why`` of a stack in a cluster, from the statuses that the operator wrote."""

from __future__ import annotations

from datetime import UTC, datetime

from titan.cli.cluster.advice import obstacles
from titan.cli.cluster.session import ClusterTarget, with_cluster
from titan.cli.cluster.show import PHASE_COLUMNS, document, phase_rows, summary
from titan.cli.obstacles import print_obstacles
from titan.cli.output import Output, print_document, print_table, print_text, print_wrapped


def status(target: ClusterTarget, output: Output) -> None:
    """Show posture, risk and equity of the namespace's stack, and every phase."""
    stack_view = with_cluster(target, lambda cluster: cluster.stack_view())
    if output is not Output.TABLE:
        print_document(document(stack_view), output)
        return
    for line in summary(stack_view):
        print_wrapped(line, " " * 10)
    print_text("")
    empty = f"namespace {stack_view.namespace} has no TitanPhase"
    print_table(PHASE_COLUMNS, phase_rows(stack_view, datetime.now(UTC)), empty=empty)


def why(target: ClusterTarget, output: Output, phase: str | None) -> None:
    """Show what keeps the stack, or one phase of it, from trading now, and the next step."""
    stack_view = with_cluster(target, lambda cluster: cluster.stack_view())
    none = (
        "nothing that the operator knows of is in the way: the next setup that passes the guards is traded"
        if stack_view.phases
        else f"namespace {stack_view.namespace} has no TitanPhase: there is no stack"
    )
    print_obstacles(obstacles(stack_view, phase), output, none=none)
