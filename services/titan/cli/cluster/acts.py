"""Acts of a person on a stack in a cluster: one write of ``spec.act``, then the wait for its acknowledgement.

The API server authorizes them: its admission policy checks the person's verb, and that ``by`` is the person's own name.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import Any

from titan.cli.cluster.session import Cluster, ClusterTarget, with_cluster
from titan.cli.cluster.stack_view import Item, StackView
from titan.cli.errors import BadInput, Refused, Unreachable
from titan.cli.output import Output, print_document, print_wrapped
from titan.domain.acts import reason_problem
from titan.domain.enums import Posture
from titan_operator.api.acts import LOOSENING, POSTURE_OF, ActVerb
from titan_operator.cluster.resource_kinds import RISK_POLICY

_POLL_S = 0.25
# The operator writes the outcome first, and the new posture within the next pass.
_POSTURE_S = 3.0


@dataclass(frozen=True)
class PostureCommand:
    """A person's request; ``phase`` is for a release only, ``timeout_s`` limits the wait for an acknowledgement."""

    verb: ActVerb
    reason: str
    timeout_s: float
    phase: str = ""


@dataclass(frozen=True)
class WrittenAct:
    """An act that the API server accepted."""

    policy: str
    act: dict[str, str]


@dataclass(frozen=True)
class ActResult:
    """Outcome of an act; ``item`` is None where the policy was deleted before the outcome was read.

    The operator permits the deletion of a policy when no phase pins it: each is drained, released, or pins another one.
    ``left`` names the phases of the namespace that pin another policy.
    """

    written: WrittenAct
    item: Item | None
    left: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the act was carried out; without any phase left, every tightening act was."""
        if self.item is None:
            return not self.left and self.written.act["verb"] not in LOOSENING
        return _done(self.item)


def act(target: ClusterTarget, output: Output, command: PostureCommand) -> None:
    """Send one act and print its outcome.

    Raises
    ------
    BadInput
        When the reason is not allowed.
    Refused
        When the API server, the operator or Brain refuses.
    Unreachable
        When the API server cannot be reached, or no acknowledgement came in time; the act stays written.
    """
    if problem := reason_problem(command.reason, "--reason"):
        raise BadInput(problem)
    results = with_cluster(target, lambda cluster: _perform(cluster, command))
    failed = [result for result in results if not result.done]
    if output is not Output.TABLE:
        print_document({"acts": [_document(result) for result in results]}, output)
    for result in results:
        if result not in failed and output is Output.TABLE:
            print_wrapped(sentence(result, command))
    if failed:
        raise Refused("; ".join(sentence(result, command) for result in failed))


async def _perform(cluster: Cluster, command: PostureCommand) -> list[ActResult]:
    stack_view = await cluster.stack_view()
    targets = policies_of(stack_view, command)
    by = await cluster.user_name()
    written = [await _write(cluster, item, command, by) for item in targets]
    try:
        async with asyncio.timeout(command.timeout_s):
            results = [await _wait_for_result(cluster, each) for each in written]
    except TimeoutError as error:
        names = " and ".join(f"RiskPolicy {each.policy}" for each in written)
        raise Unreachable(
            f"{command.verb} is written to {names}, but the operator has not answered in {command.timeout_s:g} s; "
            "it is carried out as soon as the operator can; `kubectl titan status` shows it"
        ) from error
    return [await _wait_for_posture(cluster, result, command) for result in results]


async def _wait_for_posture(cluster: Cluster, result: ActResult, command: PostureCommand) -> ActResult:
    """Wait until the policy's status shows the new posture; return its present state where that takes too long."""
    try:
        async with asyncio.timeout(_POSTURE_S):
            while result.item is not None and _done(result.item) and not status_shows(result.item, command):
                await asyncio.sleep(_POLL_S)
                raw = await cluster.find(RISK_POLICY, result.item.name)
                if raw is None:
                    break
                result = replace(result, item=Item(raw))
    except TimeoutError:
        pass
    return result


def status_shows(item: Item, command: PostureCommand) -> bool:
    """Whether the posture in the status follows the act; True where there is none."""
    requested, latch = POSTURE_OF.get(command.verb), item.at("status", "posture", "latch")
    in_force = item.at("status", "posture", "inForce")
    if requested is None or in_force is None:
        return True
    if requested is Posture.ARMED:
        return latch in (None, requested.name)
    return Posture[in_force] <= requested


def policies_of(stack_view: StackView, command: PostureCommand) -> tuple[Item, ...]:
    """Select the policies for the act: every pinned one to tighten, the stack's one policy for anything else.

    Raises
    ------
    Refused
        When there is no such policy or phase, or more than one policy for an act that does not tighten.
    """
    if command.verb in LOOSENING:
        return (stack_view.one_policy(),)
    if command.verb is ActVerb.RELEASE:
        phase = stack_view.phase(command.phase)
        own = stack_view.policy(phase.text("spec", "policyRef", "name"))
        return (own if own is not None else stack_view.pinned()[0],)
    return stack_view.pinned()


async def _write(cluster: Cluster, policy: Item, command: PostureCommand, by: str) -> WrittenAct:
    body = {"verb": command.verb.value, "nonce": uuid.uuid4().hex, "by": by}
    body |= {key: value for key, value in (("reason", command.reason), ("phase", command.phase)) if value}
    await cluster.set_field(RISK_POLICY, policy.name, {"act": body})
    return WrittenAct(policy.name, body)


async def _wait_for_result(cluster: Cluster, written: WrittenAct) -> ActResult:
    while True:
        raw = await cluster.find(RISK_POLICY, written.policy)
        if raw is None:
            stack_view = await cluster.stack_view()
            return ActResult(written, None, tuple(name for names in stack_view.pins.values() for name in sorted(names)))
        item = Item(raw)
        if item.at("status", "act", "nonce") == written.act["nonce"]:
            return ActResult(written, item)
        if item.at("spec", "act", "nonce") != written.act["nonce"]:
            other = item.at("spec", "act") or {}
            raise Refused(
                f"{written.act['verb']} was overtaken: RiskPolicy {written.policy} now requests "
                f"{other.get('verb', 'nothing')} by {other.get('by', 'nobody')}; see `kubectl titan status`"
            )
        await asyncio.sleep(_POLL_S)


def _done(item: Item) -> bool:
    return bool(item.at("status", "act", "outcome") == "Done")


def sentence(result: ActResult, command: PostureCommand) -> str:
    """Describe the outcome of an act in the words of its receiver: its acknowledgement and what is left open."""
    what = f"release of {command.phase}" if command.phase else command.verb.value
    item = result.item
    if item is None:
        gone = f"{what}: RiskPolicy {result.written.policy} was deleted before its answer was read"
        if result.left:
            return f"{gone}, and {', '.join(result.left)} run under another: see `kubectl titan status`, then repeat"
        return f"{gone}; no phase is left that trades under it"
    message = item.text("status", "act", "message") or "no reason given"
    if not _done(item):
        return f"{what}: refused by the stack under RiskPolicy {item.name}: {message}"
    posture = item.text("status", "posture", "inForce")
    return f"{what}: {message}" + (f"; posture is {posture}" if posture else "")


def _document(result: ActResult) -> dict[str, Any]:
    item = result.item
    return {
        "policy": result.written.policy,
        "asked": result.written.act,
        "answered": None if item is None else item.at("status", "act"),
        "posture": None if item is None else item.at("status", "posture"),
    }
