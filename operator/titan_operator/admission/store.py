"""The VerifiedImages object in the API server, which admission reads; the operator is its only writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from titan_operator.admission.rules.verified_images import digest_of, merge_lists
from titan_operator.api.names import GROUP, VERIFIED_IMAGES, VERSION
from titan_operator.api.verified_images import VerifiedImagesSpec, read_verified_images, verified_images_document
from titan_operator.cluster.client import Cluster, Object
from titan_operator.cluster.errors import ClusterError
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.supplychain.verdict import TrustTerms, Verdict


class ListsUnreadableError(ClusterError):
    """The object in the API server is not of the form that an operator writes."""


class VerifiedImagesStore:
    """Reads and updates the cluster's ``VerifiedImages`` for all stacks of one operator."""

    def __init__(self, cluster: Cluster, stacks: Iterable[str], now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._stacks = frozenset(stacks)
        self._now = now
        self._in_use: dict[str, frozenset[str]] = {}
        # Stacks are reconciled concurrently: none may write lists that it read before another's write.
        self._lock = asyncio.Lock()

    async def read(self) -> VerifiedImagesSpec | None:
        """Return the stored lists; None where there are none yet.

        Raises
        ------
        ApiError, Unreachable, ListsUnreadableError
            When they cannot be read.
        """
        return _parse(await self._stored())

    async def _stored(self) -> Object | None:
        return await self._cluster.get(KINDS["VerifiedImages"], VERIFIED_IMAGES)

    def record_use(self, namespace: str, images: Iterable[str], in_use: Iterable[str]) -> None:
        """Record the images that a stack requests (references) and runs or could go back to (digests).

        They are never removed from a full list.
        """
        self._in_use[namespace] = frozenset(in_use) | {digest_of(image) for image in images}

    async def update(
        self,
        verdicts: Mapping[str, Verdict],
        terms: Callable[[], TrustTerms],
        current: VerifiedImagesSpec | None = None,
    ) -> VerifiedImagesSpec:
        """List verified and pinned images, remove revoked ones, and return the new lists.

        Parameters
        ----------
        terms
            Called right before the merge, so that a revocation made during verification counts.
        seen
            The lists as just read; where they need no change, no request is sent.

        Raises
        ------
        ApiError, Unreachable
            When the lists cannot be read or written; a conflict when another operator wrote them in between.
        """
        if current is not None and self._merge(current, verdicts, terms()) == current:
            return current
        async with self._lock:
            stored = await self._stored()
            lists = _parse(stored)
            wanted = self._merge(lists or VerifiedImagesSpec(), verdicts, terms())
            if wanted != lists:
                document = verified_images_document(VERIFIED_IMAGES, wanted, f"{GROUP}/{VERSION}")
                if stored is not None:
                    # Precondition: another operator's write in between, say a revocation, must not be overwritten.
                    document["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
                await self._cluster.apply(KINDS["VerifiedImages"], document)
        return wanted

    def _merge(
        self, lists: VerifiedImagesSpec, verdicts: Mapping[str, Verdict], terms: TrustTerms
    ) -> VerifiedImagesSpec:
        # Nothing is removed before every stack has recorded what it uses.
        complete = self._stacks <= self._in_use.keys()
        used = frozenset().union(*self._in_use.values()) if complete else None
        return merge_lists(lists, verdicts, terms, self._now().strftime("%Y-%m-%dT%H:%M:%SZ"), used)


def _parse(stored: Object | None) -> VerifiedImagesSpec | None:
    if stored is None:
        return None
    try:
        return read_verified_images(stored)
    except ValueError as error:
        # Its definition was changed: an object that cannot be read must not be overwritten.
        raise ListsUnreadableError(f"{VERIFIED_IMAGES} cannot be read: {error}; apply the CRDs again") from error
