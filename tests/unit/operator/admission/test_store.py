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
        checked = None if self.spec is None else {"spec": self.spec, "metadata": {"resourceVersion": str(self.writes)}}
        self.another()
        return checked

    async def apply(self, _: object, manifest: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if manifest["metadata"].get("resourceVersion", str(self.writes)) != str(self.writes):
            raise ApiError(409, "Conflict", "the object has been modified", None, None)
        self.spec = manifest["spec"]
        self.writes += 1

    @property
    def digests(self) -> list[str]:
        return [] if self.spec is None else [entry["digest"] for entry in self.spec["images"]]


class CountingVerifier:
    """A verifier that counts."""

    def __init__(self) -> None:
        self.terms = TrustTerms(POLICY)
        self.problem = ""
        self.bad: dict[str, str] = {}
        self.verified: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def reload(self) -> bool:
        raise AssertionError("the checker reloads nothing")

    async def verify(self, image: str) -> Verdict:
        self.verified.append(image)
        hash_ = self.terms.trust_policy
        await asyncio.sleep(0)
        self.meanwhile()
        if reason := self.bad.get(image):
            return Verdict(False, image.rpartition("@")[2], reason, "so it is")
        return Verdict(True, image.rpartition("@")[2], evidence={"verifiedBy": "k", "trustPolicy": hash_})

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        raise AssertionError("no policy is verified here")


class StoreFixture:
    """An image checker over a stored list; ``restart`` is a new process before the same API server."""

    def __init__(self, *stacks: str) -> None:
        self.stored, self.verifier, self.now_s = Stored(), CountingVerifier(), 0.0
        self._stacks = stacks or ("a",)
        self.restart()

    def restart(self) -> None:
        store = VerifiedImagesStore(
            self.stored,  # type: ignore[arg-type]
            self._stacks,
            lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.checker = ImageChecker(self.verifier, store, lambda: self.now_s)

    async def images(self, *numbers: int, running: tuple[int, ...] = ()) -> ImageCheckResult:
        return await self.checker.check_images("a", map(_image, numbers), map(_digest, running))


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _image(number: int) -> str:
    return f"r/i@{_digest(number)}"


async def test_a_settled_stack_asks_no_verifier_and_writes_nothing() -> None:
    fixture = StoreFixture()
    for _ in range(5):
        checked = await fixture.images(1, running=(1,))
        assert checked.verdicts[_image(1)].verified
        assert checked.listed == {_digest(1)}
    assert fixture.verifier.verified == [_image(1)]
    assert fixture.stored.writes == 1
    # The list itself is read once a pass, and once more where it is written.
    assert fixture.stored.reads == 6


async def test_a_new_process_knows_what_is_listed_while_the_registry_is_away_and_new_images_wait() -> None:
    fixture = StoreFixture()
    await fixture.images(1)
    fixture.restart()
    fixture.verifier.bad = {_image(number): "RegistryUnreachable" for number in (1, 2)}
    checked = await fixture.images(1, 2)
    assert checked.verdicts[_image(1)].verified
    assert checked.verdicts[_image(2)].reason == "RegistryUnreachable"
    assert checked.verdicts[_image(2)].message == "so it is; it is tried again within 60 s"
    assert fixture.verifier.verified == [_image(1), _image(2)]
    assert checked.requeue_after_s <= LAST_S
    fixture.verifier.bad = {}
    fixture.now_s += checked.requeue_after_s
    assert (await fixture.images(1, 2)).verdicts[_image(2)].verified


async def test_a_refused_image_is_verified_with_a_growing_delay_and_at_once_under_another_trust_policy() -> None:
    fixture = StoreFixture()
    fixture.verifier.bad = {_image(1): "NoSignature"}
    for _ in range(3600):
        fixture.now_s += 0.5
        assert not (await fixture.images(1)).verdicts[_image(1)].verified
    assert 30 <= len(fixture.verifier.verified) <= 40
    before = len(fixture.verifier.verified)
    fixture.verifier.terms = TrustTerms(OTHER_POLICY)
    await fixture.images(1)
    assert len(fixture.verifier.verified) == before + 1


async def test_another_trust_policy_that_cannot_verify_leaves_what_is_listed() -> None:
    fixture = StoreFixture()
    await fixture.images(1)
    fixture.verifier.terms, fixture.verifier.bad = TrustTerms(OTHER_POLICY), {_image(1): "KeyExpired"}
    checked = await fixture.images(1, running=(1,))
    assert checked.verdicts[_image(1)].reason == "KeyExpired"
    assert (checked.listed, checked.revoked) == ({_digest(1)}, {})
    assert fixture.stored.writes == 1


async def test_a_running_image_is_reported_revoked_also_when_another_is_requested() -> None:
    fixture = StoreFixture()
    await fixture.images(1)
    fixture.verifier.terms = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}), drain=True)
    checked = await fixture.images(2, running=(1,))
    assert (checked.listed, list(checked.revoked), checked.drain) == ({_digest(2)}, [_digest(1)], True)
    checked = await fixture.images(1, running=(1,))
    assert checked.verdicts[_image(1)].reason == REVOKED
    # A new process, whose registry is away, and which nobody checked of the revocation: it is written down.
    fixture.restart()
    fixture.verifier.terms, fixture.verifier.bad = TrustTerms(POLICY), {_image(1): "RegistryUnreachable"}
    checked = await fixture.images(1, running=(1,))
    assert (checked.verdicts[_image(1)].reason, list(checked.revoked)) == (REVOKED, [_digest(1)])


async def test_a_revocation_that_comes_while_an_image_is_verified_counts() -> None:
    fixture = StoreFixture()
    revoking = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}))
    fixture.verifier.meanwhile = lambda: setattr(fixture.verifier, "terms", revoking)
    checked = await fixture.images(1)
    assert (checked.verdicts[_image(1)].reason, fixture.stored.digests) == ("TrustPolicyChanged", [])
    assert (await fixture.images(1)).verdicts[_image(1)].reason == REVOKED


async def test_what_the_trust_policy_alone_says_is_published_without_a_stack() -> None:
    fixture = StoreFixture()
    fixture.verifier.terms = replace(fixture.verifier.terms, infrastructure=(_image(7),))
    await fixture.checker.apply_trust_terms()
    await fixture.checker.apply_trust_terms()
    assert fixture.stored.spec is not None
    assert [entry["digest"] for entry in fixture.stored.spec["infrastructure"]] == [_digest(7)]
    assert fixture.stored.writes == 1


async def test_lists_that_are_not_understood_stop_a_pass_and_not_the_operator() -> None:
    fixture = StoreFixture()
    fixture.stored.spec = {"images": [{"digest": "latest"}]}
    with pytest.raises(ClusterError, match=r"VerifiedImages: .*images\[0\].digest"):
        await fixture.images(1)
    assert fixture.stored.writes == 0


async def test_stacks_side_by_side_lose_nothing_of_each_other() -> None:
    fixture = StoreFixture("a", "b")
    await asyncio.gather(
        *(fixture.checker.check_images(name, [_image(number)], []) for number, name in enumerate(("a", "b", "a", "b")))
    )
    assert sorted(fixture.stored.digests) == [_digest(number) for number in range(4)]


async def test_lists_that_another_operator_wrote_meanwhile_are_not_overwritten() -> None:
    fixture = StoreFixture()
    await fixture.images(1)

    def revokes() -> None:
        # Seen by this one too late: it stood still between its read and its write.
        if fixture.stored.reads == reads + 2:
            fixture.stored.spec = {"images": [], "revoked": []}
            fixture.stored.writes += 1

    reads, fixture.stored.another = fixture.stored.reads, revokes
    with pytest.raises(ApiError) as caught:
        await fixture.images(1, 2)
    assert caught.value.conflict
    assert fixture.stored.digests == []
    fixture.stored.another = lambda: None
    await fixture.images(1, 2)
    assert fixture.stored.digests == [_digest(1), _digest(2)]
