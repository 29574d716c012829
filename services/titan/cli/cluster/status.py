"""``status`` and ``why`` of a stack in a cluster: what the operator has written about it."""

from __future__ import annotations

from datetime import UTC, datetime

from titan.cli.cluster.advice import obstacles
from titan.cli.cluster.session import Where, with_cluster
from titan.cli.cluster.show import PHASE_COLUMNS, document, phase_rows, summary
from titan.cli.output import Output, print_document, print_table, say, say_wrapped


def status(where: Where, output: Output) -> None:
    """Show posture, risk and equity of the namespace's stack, and every phase."""
    picture = with_cluster(where, lambda cluster: cluster.picture())
    if output is not Output.TABLE:
        print_document(document(picture), output)
        return
    for line in summary(picture):
        say_wrapped(line, " " * 10)
    say("")
    empty = f"namespace {picture.namespace} has no TitanPhase"
    print_table(PHASE_COLUMNS, phase_rows(picture, datetime.now(UTC)), empty=empty)


def why(where: Where, output: Output, phase: str | None) -> None:
    """Say what keeps the stack, or one phase of it, from trading now, and what to do about it."""
    picture = with_cluster(where, lambda cluster: cluster.picture())
    found = obstacles(picture, phase)
    if output is not Output.TABLE:
        print_document({"obstacles": [one.document() for one in found]}, output)
        return
    if not found:
        say_wrapped(
            "nothing that the operator knows of is in the way: the next setup that passes the guards is traded"
            if picture.phases
            else f"namespace {picture.namespace} has no TitanPhase: there is no stack"
        )
    for one in found[:1]:
        say_wrapped(f"{one.where}: {one.sentence}")
        say_wrapped(f"  → {one.remedy}", "    ")
    if len(found) > 1:
        say("then:")
        for one in found[1:]:
            say_wrapped(f"  {one.where}: {one.sentence}", "    ")
