"""The lists in the API server, and the verifier's calls: at most one for an image, and none for a listed one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from titan_operator.admission.image_checks import ImageChecker, ImageCheckResult
from titan_operator.admission.store import VerifiedImagesStore
from titan_operator.api import RiskPolicy
from titan_operator.cluster.backoff import LAST_S
from titan_operator.cluster.errors import ApiError, ClusterError
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

POLICY, OTHER_POLICY = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Stored:
    """The one object of the API server that is read and written here."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = None
        self.reads = self.writes = 0
        # What another operator does right after a read.
        self.another: Callable[[], None] = lambda: None

    async def get(self, *_: object) -> dict[str, Any] | None:
        self.reads += 1
        await asyncio.sleep(0)
        told = None if self.spec is None else {"spec": self.spec, "metadata": {"resourceVersion": str(self.writes)}}
        self.another()
        return told

    async def apply(self, _: object, manifest: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if manifest["metadata"].get("resourceVersion", str(self.writes)) != str(self.writes):
            raise ApiError(409, "Conflict", "the object has been modified", None, None)
        self.spec = manifest["spec"]
        self.writes += 1

    @property
    def digests(self) -> list[str]:
        return [] if self.spec is None else [entry["digest"] for entry in self.spec["images"]]


class Asked:
    """A verifier that counts."""

    def __init__(self) -> None:
        self.terms = TrustTerms(POLICY)
        self.problem = ""
        self.bad: dict[str, str] = {}
        self.asked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def reload(self) -> bool:
        raise AssertionError("the judge looks at nothing")

    async def verify(self, image: str) -> Verdict:
        self.asked.append(image)
        hash_ = self.terms.trust_policy
        await asyncio.sleep(0)
        self.meanwhile()
        if reason := self.bad.get(image):
            return Verdict(False, image.rpartition("@")[2], reason, "so it is")
        return Verdict(True, image.rpartition("@")[2], evidence={"verifiedBy": "k", "trustPolicy": hash_})

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        raise AssertionError("nobody asks here")


class Desk:
    """A judge with what is around it; ``restart`` is a new process before the same API server."""

    def __init__(self, *stacks: str) -> None:
        self.stored, self.asked, self.now_s = Stored(), Asked(), 0.0
        self._stacks = stacks or ("a",)
        self.restart()

    def restart(self) -> None:
        store = VerifiedImagesStore(
            self.stored,  # type: ignore[arg-type]
            self._stacks,
            lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.judge = ImageChecker(self.asked, store, lambda: self.now_s)

    async def images(self, *numbers: int, running: tuple[int, ...] = ()) -> ImageCheckResult:
        return await self.judge.check_images("a", map(_image, numbers), map(_digest, running))


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _image(number: int) -> str:
    return f"r/i@{_digest(number)}"


async def test_a_settled_stack_asks_no_verifier_and_writes_nothing() -> None:
    desk = Desk()
    for _ in range(5):
        told = await desk.images(1, running=(1,))
        assert told.verdicts[_image(1)].verified
        assert told.listed == {_digest(1)}
    assert desk.asked.asked == [_image(1)]
    assert desk.stored.writes == 1
    # The list itself is read once a pass, and once more where it is written.
    assert desk.stored.reads == 6


async def test_a_new_process_knows_what_is_listed_while_the_registry_is_away_and_new_images_wait() -> None:
    desk = Desk()
    await desk.images(1)
    desk.restart()
    desk.asked.bad = {_image(number): "RegistryUnreachable" for number in (1, 2)}
    told = await desk.images(1, 2)
    assert told.verdicts[_image(1)].verified
    assert told.verdicts[_image(2)].reason == "RegistryUnreachable"
    assert told.verdicts[_image(2)].message == "so it is; it is tried again within 60 s"
    assert desk.asked.asked == [_image(1), _image(2)]
    assert told.requeue_after_s <= LAST_S
    desk.asked.bad = {}
    desk.now_s += told.requeue_after_s
    assert (await desk.images(1, 2)).verdicts[_image(2)].verified


async def test_a_refusal_is_asked_about_less_and_less_often_and_at_once_under_another_trust_policy() -> None:
    desk = Desk()
    desk.asked.bad = {_image(1): "NoSignature"}
    for _ in range(3600):
        desk.now_s += 0.5
        assert not (await desk.images(1)).verdicts[_image(1)].verified
    assert 30 <= len(desk.asked.asked) <= 40
    before = len(desk.asked.asked)
    desk.asked.terms = TrustTerms(OTHER_POLICY)
    await desk.images(1)
    assert len(desk.asked.asked) == before + 1


async def test_another_trust_policy_that_cannot_verify_leaves_what_is_listed() -> None:
    desk = Desk()
    await desk.images(1)
    desk.asked.terms, desk.asked.bad = TrustTerms(OTHER_POLICY), {_image(1): "KeyExpired"}
    told = await desk.images(1, running=(1,))
    assert told.verdicts[_image(1)].reason == "KeyExpired"
    assert (told.listed, told.revoked) == ({_digest(1)}, {})
    assert desk.stored.writes == 1


async def test_what_runs_is_told_to_be_revoked_also_when_something_else_is_asked_for() -> None:
    desk = Desk()
    await desk.images(1)
    desk.asked.terms = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}), drain=True)
    told = await desk.images(2, running=(1,))
    assert (told.listed, list(told.revoked), told.drain) == ({_digest(2)}, [_digest(1)], True)
    told = await desk.images(1, running=(1,))
    assert told.verdicts[_image(1)].reason == REVOKED
    # A new process, whose registry is away, and which nobody told of the revocation: it is written down.
    desk.restart()
    desk.asked.terms, desk.asked.bad = TrustTerms(POLICY), {_image(1): "RegistryUnreachable"}
    told = await desk.images(1, running=(1,))
    assert (told.verdicts[_image(1)].reason, list(told.revoked)) == (REVOKED, [_digest(1)])


async def test_a_revocation_that_comes_while_an_image_is_verified_counts() -> None:
    desk = Desk()
    revoking = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}))
    desk.asked.meanwhile = lambda: setattr(desk.asked, "terms", revoking)
    told = await desk.images(1)
    assert (told.verdicts[_image(1)].reason, desk.stored.digests) == ("TrustPolicyChanged", [])
    assert (await desk.images(1)).verdicts[_image(1)].reason == REVOKED


async def test_what_the_trust_policy_alone_says_is_published_without_a_stack() -> None:
    desk = Desk()
    desk.asked.terms = replace(desk.asked.terms, infrastructure=(_image(7),))
    await desk.judge.apply_trust_terms()
    await desk.judge.apply_trust_terms()
    assert desk.stored.spec is not None
    assert [entry["digest"] for entry in desk.stored.spec["infrastructure"]] == [_digest(7)]
    assert desk.stored.writes == 1


async def test_lists_that_are_not_understood_stop_a_pass_and_not_the_operator() -> None:
    desk = Desk()
    desk.stored.spec = {"images": [{"digest": "latest"}]}
    with pytest.raises(ClusterError, match=r"VerifiedImages: .*images\[0\].digest"):
        await desk.images(1)
    assert desk.stored.writes == 0


async def test_stacks_side_by_side_lose_nothing_of_each_other() -> None:
    desk = Desk("a", "b")
    await asyncio.gather(
        *(desk.judge.check_images(name, [_image(number)], []) for number, name in enumerate(("a", "b", "a", "b")))
    )
    assert sorted(desk.stored.digests) == [_digest(number) for number in range(4)]


async def test_lists_that_another_operator_wrote_meanwhile_are_not_overwritten() -> None:
    desk = Desk()
    await desk.images(1)

    def revokes() -> None:
        # Seen by this one too late: it stood still between its read and its write.
        if desk.stored.reads == reads + 2:
            desk.stored.spec = {"images": [], "revoked": []}
            desk.stored.writes += 1

    reads, desk.stored.another = desk.stored.reads, revokes
    with pytest.raises(ApiError) as caught:
        await desk.images(1, 2)
    assert caught.value.conflict
    assert desk.stored.digests == []
    desk.stored.another = lambda: None
    await desk.images(1, 2)
    assert desk.stored.digests == [_digest(1), _digest(2)]
