"""Acts of a person on a stack in a cluster: one write of ``spec.act``, then who acknowledged it.

The API server decides who may: its admission policy checks the person's verb and that ``by`` is the person's own name.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import Any

from titan.cli.cluster.session import Cluster, Where, with_cluster
from titan.cli.cluster.stack_view import Item, StackView
from titan.cli.errors import Refused, Unreachable
from titan.cli.output import Output, print_document, say_wrapped
from titan.domain.kinds import Posture
from titan_operator.api.acts import POSTURE_OF, ActVerb
from titan_operator.cluster.kinds import RISK_POLICY

_POLL_S = 0.25
# The answer is written with what was known before the act; what it did to the posture follows within a pass.
_FOLLOWS_S = 3.0


@dataclass(frozen=True)
class PostureCommand:
    """What a person asks for; ``phase`` only for a release, ``timeout_s`` how long an answer is waited for."""

    verb: ActVerb
    reason: str
    timeout_s: float
    phase: str = ""


@dataclass(frozen=True)
class Written:
    """An act that the API server took."""

    policy: str
    act: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What came of an act; ``item`` is None where the policy's own deletion ended before that was read.

    The operator lets a policy go when no phase pins it any more: each is drained, or released, or pins another one.
    ``left`` names the phases of the namespace that pin another one.
    """

    written: Written
    item: Item | None
    left: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the act did what was asked; where nothing is left, all that tightens has."""
        if self.item is None:
            return not self.left and self.written.act["verb"] != ActVerb.ARM
        return _done(self.item)


def act(where: Where, output: Output, wish: PostureCommand) -> None:
    """Make one act and print what came of it.

    Raises
    ------
    Refused
        When the API server, the operator or Brain refuses.
    Unreachable
        When the API server cannot be reached, or nothing has answered in time; the act stays written.
    """
    answered = with_cluster(where, lambda cluster: _make(cluster, wish))
    failed = [answer for answer in answered if not answer.done]
    if output is not Output.TABLE:
        print_document({"acts": [_document(answer) for answer in answered]}, output)
    for answer in answered:
        if answer not in failed and output is Output.TABLE:
            say_wrapped(sentence(answer, wish))
    if failed:
        raise Refused("; ".join(sentence(answer, wish) for answer in failed))


async def _make(cluster: Cluster, wish: PostureCommand) -> list[Answer]:
    picture = await cluster.picture()
    targets = targets_of(picture, wish)
    by = await cluster.who_am_i()
    written = [await _write(cluster, item, wish, by) for item in targets]
    try:
        async with asyncio.timeout(wish.timeout_s):
            answered = [await _answer(cluster, each) for each in written]
    except TimeoutError as error:
        names = " and ".join(f"RiskPolicy {each.policy}" for each in written)
        raise Unreachable(
            f"{wish.verb} is written to {names}, but the operator has not answered in {wish.timeout_s:g} s; "
            "it is carried out as soon as the operator can; `kubectl titan status` shows it"
        ) from error
    return [await _posture(cluster, answer, wish) for answer in answered]


async def _posture(cluster: Cluster, answer: Answer, wish: PostureCommand) -> Answer:
    """The policy once its status shows what the act did; as it is, where that does not come soon."""
    try:
        async with asyncio.timeout(_FOLLOWS_S):
            while answer.item is not None and _done(answer.item) and not shows(answer.item, wish):
                await asyncio.sleep(_POLL_S)
                found = await cluster.find(RISK_POLICY, answer.item.name)
                if found is None:
                    break
                answer = replace(answer, item=Item(found))
    except TimeoutError:
        pass
    return answer


def shows(item: Item, wish: PostureCommand) -> bool:
    """Whether the posture in the status is of after the act; True where there is none to show."""
    wanted, latch = POSTURE_OF.get(wish.verb), item.at("status", "posture", "latch")
    in_force = item.at("status", "posture", "inForce")
    if wanted is None or in_force is None:
        return True
    if wanted is Posture.ARMED:
        return latch in (None, wanted.name)
    return Posture[in_force] <= wanted


def targets_of(picture: StackView, wish: PostureCommand) -> tuple[Item, ...]:
    """Which policies carry the act: all that are pinned to tighten, the stack's one policy for anything else.

    Raises
    ------
    Refused
        When there is no such policy, or, for what does not tighten, more than one; when there is no such phase.
    """
    if wish.verb is ActVerb.ARM:
        return (picture.one_policy(),)
    if wish.verb is ActVerb.RELEASE:
        phase = picture.phase(wish.phase)
        own = picture.policy(phase.text("spec", "policyRef", "name"))
        return (own if own is not None else picture.pinned()[0],)
    return picture.pinned()


async def _write(cluster: Cluster, policy: Item, wish: PostureCommand, by: str) -> Written:
    body = {"verb": wish.verb.value, "nonce": uuid.uuid4().hex, "by": by}
    body |= {key: value for key, value in (("reason", wish.reason), ("phase", wish.phase)) if value}
    await cluster.set_field(RISK_POLICY, policy.name, {"act": body})
    return Written(policy.name, body)


async def _answer(cluster: Cluster, written: Written) -> Answer:
    while True:
        found = await cluster.find(RISK_POLICY, written.policy)
        if found is None:
            picture = await cluster.picture()
            return Answer(written, None, tuple(name for names in picture.pins.values() for name in sorted(names)))
        item = Item(found)
        if item.at("status", "act", "nonce") == written.act["nonce"]:
            return Answer(written, item)
        if item.at("spec", "act", "nonce") != written.act["nonce"]:
            other = item.at("spec", "act") or {}
            raise Refused(
                f"{written.act['verb']} was overtaken: RiskPolicy {written.policy} now asks for "
                f"{other.get('verb', 'nothing')} by {other.get('by', 'nobody')}; see `kubectl titan status`"
            )
        await asyncio.sleep(_POLL_S)


def _done(item: Item) -> bool:
    return bool(item.at("status", "act", "outcome") == "Done")


def sentence(answer: Answer, wish: PostureCommand) -> str:
    """What came of an act, in the words of whom it was asked of: who acknowledged it, and what is left open."""
    what = f"release of {wish.phase}" if wish.phase else wish.verb.value
    item = answer.item
    if item is None:
        gone = f"{what}: RiskPolicy {answer.written.policy} was deleted before its answer was read"
        if answer.left:
            return f"{gone}, and {', '.join(answer.left)} run under another: see `kubectl titan status`, and ask again"
        return f"{gone}; no phase is left that trades under it"
    message = item.text("status", "act", "message") or "no reason given"
    if not _done(item):
        return f"{what}: refused by the stack under RiskPolicy {item.name}: {message}"
    posture = item.text("status", "posture", "inForce")
    return f"{what}: {message}" + (f"; posture is {posture}" if posture else "")


def _document(answer: Answer) -> dict[str, Any]:
    item = answer.item
    return {
        "policy": answer.written.policy,
        "asked": answer.written.act,
        "answered": None if item is None else item.at("status", "act"),
        "posture": None if item is None else item.at("status", "posture"),
    }
