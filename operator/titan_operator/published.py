"""The list of verified images in the API server, which admission reads: the operator is its only writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from titan_operator.api.images import MAX_IMAGES
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.kinds import KINDS
from titan_operator.names import GROUP, VERIFIED_IMAGES, VERSION
from titan_operator.world import Verdict

REVOKED = "Revoked"


class PublishedImages:
    """``VerifiedImages`` of the whole cluster, kept by one operator for all of its stacks.

    What was verified once stays listed (an evicted Execution must be able to come back when its key has expired);
    only explicit revocation takes it off.
    """

    def __init__(self, cluster: Cluster, stacks: Iterable[str], now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._stacks = frozenset(stacks)
        self._now = now
        self._in_use: dict[str, frozenset[str]] = {}
        # Stacks are reconciled side by side: none may write a list that it read before another's write.
        self._lock = asyncio.Lock()

    async def publish(self, namespace: str, verdicts: Mapping[str, Verdict], in_use: Iterable[str]) -> dict[str, str]:
        """List what was verified and take off what was revoked.

        Parameters
        ----------
        verdicts
            Of the images that the stack in ``namespace`` asks for.
        in_use
            Digests that it runs or could go back to.

        Returns
        -------
        dict
            Every image that is listed now, by digest.

        Raises
        ------
        ApiError, Unreachable
            When the list cannot be read or written.
        """
        async with self._lock:
            self._in_use[namespace] = frozenset(in_use) | {image.rpartition("@")[2] for image in verdicts}
            stored = await self._cluster.get(KINDS["VerifiedImages"], VERIFIED_IMAGES)
            entries = {entry["digest"]: dict(entry) for entry in (stored or {}).get("spec", {}).get("images", ())}
            wanted = dict(entries)
            for image, verdict in sorted(verdicts.items()):
                digest = image.rpartition("@")[2]
                if verdict.verified and digest not in wanted:
                    wanted[digest] = self._entry(image, digest, verdict)
                elif not verdict.verified and verdict.reason == REVOKED:
                    wanted.pop(digest, None)
            if len(wanted) > MAX_IMAGES:
                self._forget_unused(wanted)
            if stored is None or wanted != entries:
                manifest = {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "VerifiedImages",
                    "metadata": {"name": VERIFIED_IMAGES},
                    "spec": {"images": list(wanted.values())},
                }
                await self._cluster.apply(KINDS["VerifiedImages"], manifest)
        return {digest: entry.get("image", "") for digest, entry in wanted.items()}

    def _forget_unused(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Make room: the oldest that no stack runs, could go back to or asks for go; nothing before all have told."""
        if not self._stacks <= self._in_use.keys():
            return
        used = frozenset().union(*self._in_use.values())
        for digest in [digest for digest in wanted if digest not in used][: len(wanted) - MAX_IMAGES]:
            del wanted[digest]

    def _entry(self, image: str, digest: str, verdict: Verdict) -> dict[str, Any]:
        known = {key: value for key, value in verdict.evidence.items() if value}
        return {"digest": digest, "image": image, "verifiedAt": self._now().strftime("%Y-%m-%dT%H:%M:%SZ"), **known}
