"""The command line ``kubectl titan``: names, flags and help. Each command imports its module only when it runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from titan.cli.output import Output
from titan.cli.root import Commands, OutputOption, add_policy_files, add_verify_image, new_app

if TYPE_CHECKING:
    from titan.cli.cluster.session import ClusterTarget

app = new_app(
    "A crypto trading stack in a cluster: what it does, why it does not, and acts of people on it. Exit codes: 0 done, "
    "1 refused, 2 bad input, 3 not reached or not answered in time."
)
policy_app = Commands(help="Make, compare and pin risk policies.")
app.add_typer(policy_app, name="policy")
add_policy_files(policy_app)

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the stack; else the context's.")
]
ContextOption = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig; else KUBECONFIG, else ~/.kube/config.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Reason, stored with the act.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="S", min=1, max=3600, help="Seconds to wait for the acknowledgement.")
]


class Ceiling(StrEnum):
    """The highest posture that a policy may allow."""

    FLATTEN = "FLATTEN"
    HALTED = "HALTED"
    CLOSE_ONLY = "CLOSE_ONLY"
    ARMED = "ARMED"


@app.command()
def status(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show posture, equity and every phase of a stack."""
    from titan.cli.cluster.status import status as run_status

    run_status(_target(namespace, context, kubeconfig), output)


@app.command()
def why(
    phase: Annotated[str | None, typer.Argument(metavar="NAME", help="A TitanPhase; without, all of them.")] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what keeps a stack from trading now, the first refusing gate first, and the next step."""
    from titan.cli.cluster.status import why as run_why

    run_why(_target(namespace, context, kubeconfig), output, phase)


@app.command()
def explain(
    intent_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="An intent's id, or the beginning of one.")
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every guard of one of the last hundred decisions; without ID, of the latest approved and refused."""
    from titan.cli.cluster.explain import explain as run_explain

    run_explain(_target(namespace, context, kubeconfig), output, intent_id)


@app.command()
def halt(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 60,
) -> None:
    """Stop opening and stop deciding, at once; stops and targets stay."""
    _act("halt", _target(namespace, context, kubeconfig), output, reason, timeout_s)


@app.command()
def flatten(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 120,
) -> None:
    """Close every position and cancel every order, then stay halted."""
    _act("flatten", _target(namespace, context, kubeconfig), output, reason, timeout_s)


@app.command("close-only")
def close_only(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 60,
) -> None:
    """Open nothing more; what reduces risk goes on."""
    _act("closeOnly", _target(namespace, context, kubeconfig), output, reason, timeout_s)


@app.command()
def arm(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 60,
) -> None:
    """Let a stack open new risk, up to the policy's ceiling; the cluster authorizes the user."""
    _act("arm", _target(namespace, context, kubeconfig), output, reason, timeout_s)


@app.command()
def rebase(
    reason: Annotated[str, typer.Option("--reason", help="Reason, stored with the act and journalled.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    timeout_s: TimeoutOption = 60,
) -> None:
    """Measure drawdown from the present equity on: an act of the risk officer on a flat stack that is not armed."""
    _act("rebase", _target(namespace, context, kubeconfig), output, reason, timeout_s)


@app.command()
def release(
    phase: Annotated[str, typer.Argument(metavar="NAME", help="The TitanPhase that is being deleted.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 60,
) -> None:
    """End the deletion of a TitanPhase although positions may be open."""
    _act("release", _target(namespace, context, kubeconfig), output, reason, timeout_s, phase)


@policy_app.command("new")
def policy_new(
    source: Annotated[str, typer.Option("--from", metavar="NAME|FILE", help="A RiskPolicy, or a .yaml file of one.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="RULE=VALUE", help="A rule to change; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Start of its name; the start of its hash is added.")
    ] = None,
    posture: Annotated[Ceiling, typer.Option("--posture", help="Its ceiling.")] = Ceiling.CLOSE_ONLY,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.YAML,
) -> None:
    """Print a new RiskPolicy with some rules changed, ready for Git or `kubectl apply -f -`."""
    from titan.cli.cluster.policies import new
    from titan.domain.enums import Posture

    new(_target(namespace, context, kubeconfig), output, source, settings or (), name, Posture[posture.value])


@policy_app.command("diff")
def policy_diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A RiskPolicy, or a .yaml file of one.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every rule that differs between two policies, and which way is tighter."""
    from titan.cli.cluster.policies import diff

    diff(_target(namespace, context, kubeconfig), output, before, after)


@policy_app.command("pin")
def policy_pin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A RiskPolicy of the namespace, or of the files.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes, change nothing.")] = False,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", help="Pin in the YAML files of DIR, for Git, and no cluster."),
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bind every phase of a stack to one policy, by name and hash."""
    from titan.cli.cluster.policies import pin, pin_in_files

    if files is not None:
        pin_in_files(files, output, name, dry_run=dry_run)
    else:
        pin(_target(namespace, context, kubeconfig), output, name, dry_run=dry_run)


add_verify_image(app)


def _target(namespace: str | None, context: str | None, kubeconfig: Path | None) -> ClusterTarget:
    from titan.cli.cluster.session import ClusterTarget

    return ClusterTarget(namespace, context, kubeconfig)


def _act(verb: str, target: ClusterTarget, output: Output, reason: str, timeout_s: float, phase: str = "") -> None:
    from titan.cli.cluster.acts import PostureCommand, act
    from titan_operator.api.acts import ActVerb

    act(target, output, PostureCommand(ActVerb(verb), reason, timeout_s, phase))
