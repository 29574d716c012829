"""Search of a registry for a good signature; forged ones beside it cost a bounded time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from titan_operator.supplychain.formats.bundle import BUNDLE_TYPE
from titan_operator.supplychain.formats.errors import FormatError
from titan_operator.supplychain.formats.oci import Layer, read_layers
from titan_operator.supplychain.formats.simple_signing import PAYLOAD_TYPE
from titan_operator.supplychain.refusals import Refusal, Refused, primary_refusal
from titan_operator.supplychain.registry import Descriptor, Registries, RegistryError, RegistryProblem, Repository
from titan_operator.supplychain.signature_checks import (
    Accepted,
    Pending,
    Requirements,
    SignatureResult,
    check_bundle,
    check_simple_signing,
)
from titan_operator.supplychain.sigstore_client import SigstoreClient, complete_image_check

_WORKERS = 8
# cosign's own have some hundred bytes, with a certificate and a log entry some thousand. SBOMs lie there too.
_REFERRER_BYTES = 64 * 2**10
_SIGNATURE_BYTES = 256 * 2**10
_REFERRER_LAYERS = 8
_MOST_LAYERS = 2000

_UNREACHABLE = frozenset(
    {
        RegistryProblem.UNREACHABLE,
        RegistryProblem.TIMED_OUT,
        RegistryProblem.TOO_MANY_REQUESTS,
        RegistryProblem.SERVER_ERROR,
        RegistryProblem.TRUNCATED,
    }
)
_REFUSALS = {
    RegistryProblem.UNAUTHORIZED: Refusal.REGISTRY_REFUSED,
    RegistryProblem.TOO_MANY_REFERRERS: Refusal.TOO_MANY_SIGNATURES,
    RegistryProblem.TOO_LARGE: Refusal.TOO_LARGE,
    # Listed, and not there.
    RegistryProblem.NOT_FOUND: Refusal.MALFORMED,
}
# A referrer of an image, or a layer of the tag .sig; None ends the queue.
_Candidate = Descriptor | Layer | None


class _Success(Exception):  # noqa: N818 - no error: how one of many tasks ends them all
    def __init__(self, accepted: Accepted) -> None:
        super().__init__()
        self.accepted = accepted


class Search:
    """Searches for a good signature of one image.

    Parameters
    ----------
    repository, digest
        The image.
    """

    def __init__(self, registries: Registries, repository: Repository, digest: str, required: Requirements) -> None:
        self._registries = registries
        self._repository = repository
        self._digest = digest
        self._required = required
        self._refused: list[Refused] = []
        self._sigstore = SigstoreClient(required.policy.trusted_root or "")
        self._candidates: asyncio.Queue[_Candidate] = asyncio.Queue(_WORKERS)

    async def run(self, longest_s: float) -> Accepted | Refused:
        """Return the first good signature, or one refusal for all that were found, within ``longest_s`` seconds."""
        try:
            async with asyncio.timeout(longest_s), self._sigstore:
                accepted = await self._first_accepted()
                if accepted is not None:
                    return accepted
                if not self._refused:
                    self._refused.append(await self._absence())
        except TimeoutError:
            why = f"{self._repository}: not looked through within {longest_s:g} s"
            return Refused(Refusal.REGISTRY_UNREACHABLE, why)
        refusal = primary_refusal(self._refused)
        return Refused(refusal.reason, f"{self._repository}: {refusal.message}")

    async def _first_accepted(self) -> Accepted | None:
        accepted: Accepted | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._find_candidates())
                for _ in range(_WORKERS):
                    group.create_task(self._check_candidates())
        except* _Success as found:
            first = found.exceptions[0]
            assert isinstance(first, _Success)
            accepted = first.accepted
        return accepted

    async def _find_candidates(self) -> None:
        await asyncio.gather(self._find_referrers(), self._find_layers())
        for _ in range(_WORKERS):
            await self._candidates.put(None)

    async def _find_referrers(self) -> None:
        try:
            async with aclosing(self._registries.referrers(self._repository, self._digest)) as found:
                # Every entry: the list's fields are not signed, so none of them may exclude a referrer.
                async for descriptor in found:
                    await self._candidates.put(descriptor)
        except RegistryError as error:
            self._refused.append(_problem(error))

    async def _find_layers(self) -> None:
        tag = f"{self._digest.replace(':', '-')}.sig"
        try:
            async with aclosing(self._registries.tagged(self._repository, tag)) as found:
                async for manifest in found:
                    await self._queue_layers(manifest.content)
        except RegistryError as error:
            self._refused.append(_problem(error))

    async def _queue_layers(self, manifest: bytes) -> None:
        try:
            layers = read_layers(manifest)
        except FormatError as error:
            self._refused.append(Refused(Refusal.MALFORMED, f"the tag .sig: {error}"))
            return
        if len(layers) > _MOST_LAYERS:
            why = f"the tag .sig has {len(layers)} signatures; looked at are {_MOST_LAYERS}"
            self._refused.append(Refused(Refusal.TOO_MANY_SIGNATURES, why))
        for layer in layers[:_MOST_LAYERS]:
            await self._candidates.put(layer)

    async def _check_candidates(self) -> None:
        while (candidate := await self._candidates.get()) is not None:
            if isinstance(candidate, Layer):
                await self._check_layer(candidate)
            else:
                await self._check_referrer(candidate)

    async def _check_referrer(self, referrer: Descriptor) -> None:
        if referrer.size > _REFERRER_BYTES:
            self._refused.append(_too_large("the referrer", referrer.digest, referrer.size, _REFERRER_BYTES))
            return
        try:
            manifest = await self._registries.manifest(self._repository, referrer.digest)
            layers = read_layers(manifest.content)
        except RegistryError as error:
            self._refused.append(_problem(error))
        except FormatError as error:
            self._refused.append(Refused(Refusal.MALFORMED, f"the referrer {referrer.digest}: {error}"))
        else:
            for layer in layers[:_REFERRER_LAYERS]:
                await self._check_layer(layer)

    async def _check_layer(self, layer: Layer) -> None:
        # The manifest's digest covers the media type; it only decides how the layer is read.
        if layer.media_type not in (BUNDLE_TYPE, PAYLOAD_TYPE):
            return
        if layer.size > _SIGNATURE_BYTES:
            self._refused.append(_too_large("the signature", layer.digest, layer.size, _SIGNATURE_BYTES))
            return
        try:
            raw = await self._registries.blob(self._repository, layer.digest, layer.size)
        except RegistryError as error:
            self._refused.append(_problem(error))
            return
        if layer.media_type == BUNDLE_TYPE:
            result: SignatureResult | Pending = check_bundle(raw, self._digest, self._required)
        else:
            result = check_simple_signing(layer, raw, self._digest, self._required)
        if isinstance(result, Pending):
            result = await complete_image_check(result, raw, self._digest, self._required, self._sigstore)
        if isinstance(result, Accepted):
            raise _Success(result)
        self._refused.append(result)

    async def _absence(self) -> Refused:
        try:
            await self._registries.manifest(self._repository, self._digest)
        except RegistryError as error:
            if error.reason is RegistryProblem.NOT_FOUND:
                return Refused(Refusal.IMAGE_NOT_FOUND, str(error))
            return _problem(error)
        return Refused(Refusal.NO_SIGNATURE, f"no cosign signature of {self._digest} is there; expected is one")


def _problem(error: RegistryError) -> Refused:
    if error.reason in _UNREACHABLE:
        return Refused(Refusal.REGISTRY_UNREACHABLE, str(error))
    return Refused(_REFUSALS.get(error.reason, Refusal.REGISTRY_MISBEHAVES), str(error))


def _too_large(what: str, digest: str, size: int, most: int) -> Refused:
    return Refused(Refusal.TOO_LARGE, f"{what} {digest} has {size} bytes; allowed are {most}")
