"""The list of verified images: what was verified stays, what was revoked goes, and it has an end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from titan_operator.api.images import MAX_IMAGES
from titan_operator.published import PublishedImages
from titan_operator.world import Verdict


class Stored:
    """The one object of the API server that is read and written here."""

    def __init__(self, digests: list[str]) -> None:
        self.images = [{"digest": digest, "image": f"r/i@{digest}"} for digest in digests]
        self.writes = 0

    async def get(self, *_: object) -> dict[str, Any]:
        return {"spec": {"images": list(self.images)}}

    async def apply(self, _: object, manifest: dict[str, Any]) -> None:
        self.images = manifest["spec"]["images"]
        self.writes += 1

    @property
    def digests(self) -> list[str]:
        return [entry["digest"] for entry in self.images]


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _published(stored: Stored, *stacks: str) -> PublishedImages:
    return PublishedImages(stored, stacks or ("a",), lambda: datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]


async def test_what_is_verified_is_listed_once_with_its_evidence() -> None:
    stored = Stored([])
    image = f"r/i@{_digest(1)}"
    for _ in range(2):
        await _published(stored).publish("a", {image: Verdict(True, _digest(1), evidence={"verifiedBy": "k"})}, [])
    assert stored.images == [
        {"digest": _digest(1), "image": image, "verifiedAt": "2026-01-01T00:00:00Z", "verifiedBy": "k"}
    ]
    assert stored.writes == 1


async def test_what_cannot_be_verified_any_more_stays_and_what_is_revoked_goes() -> None:
    stored = Stored([_digest(1), _digest(2)])
    verdicts = {
        f"r/i@{_digest(1)}": Verdict(False, reason="KeyExpired"),
        f"r/i@{_digest(2)}": Verdict(False, reason="Revoked"),
    }
    listed = await _published(stored).publish("a", verdicts, [])
    assert stored.digests == list(listed) == [_digest(1)]


async def test_a_full_list_forgets_the_oldest_that_nobody_uses() -> None:
    stored = Stored([_digest(number) for number in range(MAX_IMAGES)])
    published = _published(stored, "a", "b")
    new = {f"r/i@{_digest(1000)}": Verdict(True, _digest(1000))}
    await published.publish("b", {}, [_digest(0)])
    await published.publish("a", new, [_digest(1)])
    assert len(stored.digests) == MAX_IMAGES
    assert stored.digests[:2] == [_digest(0), _digest(1)]
    assert _digest(2) not in stored.digests
    assert stored.digests[-1] == _digest(1000)


async def test_nothing_is_forgotten_before_every_stack_has_told() -> None:
    stored = Stored([_digest(number) for number in range(MAX_IMAGES)])
    await _published(stored, "a", "b").publish("a", {f"r/i@{_digest(1000)}": Verdict(True, _digest(1000))}, [])
    assert set(stored.digests) >= {_digest(number) for number in range(MAX_IMAGES)}
