"""``policy new``, ``diff`` and ``pin``: policies never change, and stacks move from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from titan.cli.cluster.policy_edit import base_name, edited, manifest, pin_of, rules_of
from titan.cli.cluster.session import Cluster, ClusterTarget, with_cluster
from titan.cli.cluster.stack_view import StackView
from titan.cli.errors import BadInput, CommandError, Refused
from titan.cli.files import parse_yaml, read_text
from titan.cli.output import UNKNOWN, Column, Output, print_document, print_table, print_text, print_wrapped
from titan.domain.enums import Posture
from titan.domain.policy_compare import Difference, differences
from titan_operator.cluster.resource_kinds import RISK_POLICY, TITAN_PHASE

_FILES = (".yaml", ".yml")


def new(
    target: ClusterTarget, output: Output, source: str, settings: Sequence[str], name: str | None, ceiling: Posture
) -> None:
    """Print the RiskPolicy of ``source`` with ``settings`` applied; nothing is written.

    Raises
    ------
    BadInput
        When the source is no policy, a setting is invalid, or nothing would change.
    """
    old = _read(target, source)
    before = rules_of(old, source)
    after = edited(before, settings)
    made = manifest(after, name or base_name(str(old["metadata"]["name"])), ceiling)
    changes = differences(before, after)
    if settings and not changes:
        raise BadInput(f"--set: {', '.join(settings)} changes nothing: {source} has these values already")
    if output is not Output.TABLE:
        print_document(made, output)
        return
    print_text(f"{made['metadata']['name']}  {made['spec']['hash']}  posture {ceiling.name}")
    _print_differences(changes, source, made["metadata"]["name"])


def diff(target: ClusterTarget, output: Output, before: str, after: str) -> None:
    """Print every rule that differs between two policies, and whether it got tighter."""
    old, new_rules = (rules_of(_read(target, each), each) for each in (before, after))
    changes = differences(old, new_rules)
    if output is not Output.TABLE:
        rows = [
            {"rule": each.key, "before": each.before, "after": each.after, "effect": each.effect.value}
            for each in changes
        ]
        print_document({"before": before, "after": after, "rules": rows}, output)
        return
    _print_differences(changes, before, after)


def pin(target: ClusterTarget, output: Output, name: str, *, dry_run: bool) -> None:
    """Write name and hash of one policy into every phase of the namespace that trades.

    Raises
    ------
    Refused
        When the policy does not exist or its hash is wrong, nothing trades here, or the API server refuses.
    """
    pinned = with_cluster(target, lambda cluster: _pin(cluster, name, dry_run=dry_run))
    if output is not Output.TABLE:
        print_document({"policyRef": pinned.reference, "dry_run": dry_run, "phases": pinned.phases}, output)
        return
    if not pinned.phases:
        print_text(f"every phase of namespace {pinned.namespace} pins {name} already")
    for phase in pinned.phases:
        print_text(f"titanphase/{phase} " + ("would pin" if dry_run else "pins") + f" {name}")
    if pinned.phases and not dry_run:
        print_wrapped(
            "the stack is CLOSE_ONLY until Execution has drained and Brain and Execution run with the new hash; "
            "`kubectl titan status` shows it, `kubectl titan arm` arms it then"
        )


def pin_in_files(folder: Path, output: Output, name: str, *, dry_run: bool) -> None:
    """Pin a policy in every TitanPhase of a folder's files; raises as :func:`pin_files` does."""
    from titan.cli.cluster.pin_files import pin_files

    reference, changes = pin_files(folder, name, dry_run=dry_run)
    if output is not Output.TABLE:
        files = [{"file": str(change.path), "phases": list(change.phases)} for change in changes]
        print_document({"policyRef": reference, "dry_run": dry_run, "files": files}, output)
        return
    if not changes:
        print_text(f"every phase in {folder} pins {name} already")
    for change in changes:
        for phase in change.phases:
            print_text(f"{change.path}: titanphase/{phase} " + ("would pin" if dry_run else "pins") + f" {name}")


class _Pinned:
    # Effect of a pin; of a dry run the effect that it would have.
    def __init__(self, namespace: str, reference: Mapping[str, str]) -> None:
        self.namespace = namespace
        self.reference = dict(reference)
        self.phases: list[str] = []


async def _pin(cluster: Cluster, name: str, *, dry_run: bool) -> _Pinned:
    stack_view = await cluster.stack_view()
    reference = pin_for(stack_view, name)
    result = _Pinned(stack_view.namespace, reference)
    traders = [item for item in stack_view.phases if item.at("spec", "policyRef") is not None]
    if not traders:
        raise Refused(
            f"namespace {stack_view.namespace} has no TitanPhase that pins a RiskPolicy: there is nothing to pin"
        )
    for item in traders:
        if item.at("spec", "policyRef") == reference:
            continue
        try:
            await cluster.set_field(TITAN_PHASE, item.name, {"policyRef": reference}, dry_run=dry_run)
        except CommandError as error:
            done = f"already pinned: {', '.join(result.phases)}" if result.phases else "nothing was changed"
            raise Refused(f"TitanPhase {item.name}: {error}; {done}") from error
        result.phases.append(item.name)
    return result


def pin_for(stack_view: StackView, name: str) -> dict[str, str]:
    """Pure: make the reference to a policy of the namespace, by name and hash.

    Raises
    ------
    Refused
        When there is no such policy, it is being deleted, or its hash is not that of its rules.
    """
    policy = stack_view.policy(name)
    if policy is None:
        known = ", ".join(item.name for item in stack_view.policies)
        has = f"there are {known}" if known else "it has none"
        raise Refused(f"namespace {stack_view.namespace} has no RiskPolicy {name}; {has}")
    if policy.deleting:
        raise Refused(f"RiskPolicy {name} is being deleted; allowed is one that stays")
    try:
        return pin_of(policy.raw)
    except BadInput as error:
        # The object in the cluster is invalid, not the user's input.
        raise Refused(str(error)) from error


def _read(target: ClusterTarget, source: str) -> Mapping[str, Any]:
    # A name cannot end in .yaml and hold a policy's hash, so a file is never taken for a name.
    if source.endswith(_FILES):
        return _from_file(Path(source))
    policy: Mapping[str, Any] = with_cluster(target, lambda cluster: cluster.get(RISK_POLICY, source))
    return policy


def _from_file(path: Path) -> Mapping[str, Any]:
    documents = parse_yaml(path, read_text(path))
    policies = [each for each in documents if isinstance(each, dict) and each.get("kind") == "RiskPolicy"]
    if len(policies) != 1:
        raise BadInput(
            f"{path}: holds {len(policies)} RiskPolicy resources; allowed is a file with one, like policies/demo.yaml"
        )
    metadata = policies[0].get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise BadInput(f"{path}: metadata.name: missing; it is required")
    return policies[0]


def _print_differences(changes: Sequence[Difference], before: str, after: str) -> None:
    columns = (Column("RULE"), Column(before, wrap=True), Column(after, wrap=True), Column("EFFECT"))
    rows = [(each.key, _spelled(each.before), _spelled(each.after), each.effect.value) for each in changes]
    print_table(columns, rows, empty="no rule differs: the hashes are equal")


def _spelled(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)
