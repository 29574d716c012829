"""Client of a process with the sigstore library; the process starts with the first request and ends with the search."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from titan_operator.supplychain.refusals import Refusal, Refused
from titan_operator.supplychain.signature_checks import (
    Pending,
    Requirements,
    SignatureResult,
    check_certified,
    check_logged,
)
from titan_operator.supplychain.trust import TrustedIdentity

_MODULE = "titan_operator.supplychain.sigstore_process"
_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class CertifiedStatement:
    """A statement whose signature, certificate and log entry were verified."""

    signer: str
    payload_type: str
    payload: bytes


class SigstoreClient:
    """Sends requests to at most one process, one after the other. An asynchronous context manager.

    Parameters
    ----------
    trusted_root
        The JSON of ``trusted_root.json``.
    """

    def __init__(self, trusted_root: str) -> None:
        self._trusted_root = trusted_root
        self._process: asyncio.subprocess.Process | None = None
        self._problem: Refused | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def verify_certified(
        self, bundle: bytes, identities: Sequence[TrustedIdentity]
    ) -> CertifiedStatement | Refused:
        """Verify a bundle with a certificate; return its statement and signer."""
        named = [{"name": item.name, "issuer": item.issuer, "subject": item.subject} for item in identities]
        answer = await self._request({"bundle": base64.b64encode(bundle).decode(), "identities": named})
        if isinstance(answer, Refused):
            return answer
        return CertifiedStatement(answer["signer"], answer["type"], base64.b64decode(answer["payload"]))

    async def verify_entries(self, entries: Sequence[object]) -> list[bytes] | Refused:
        """Verify entries; return the bodies of those that a trusted log has."""
        answer = await self._request({"entries": list(entries)})
        return answer if isinstance(answer, Refused) else [base64.b64decode(body) for body in answer["bodies"]]

    async def _request(self, request: dict[str, Any]) -> dict[str, Any] | Refused:
        async with self._turn:
            if self._problem is None and self._process is None:
                await self._start()
            if self._problem is not None:
                return self._problem
            answer = await self._exchange(request)
            if answer is None:
                # The next request starts a new process, whatever ended this one.
                await self._end()
                return Refused(Refusal.KEYLESS_UNAVAILABLE, "the process that verifies by sigstore ended")
        if "reason" in answer:
            return Refused(Refusal(answer["reason"]), answer["message"])
        return answer

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_MOST_BYTES,
        )
        ready = await self._exchange({"trustedRoot": self._trusted_root})
        if ready is None or "problem" in ready:
            why = "it ended" if ready is None else ready["problem"]
            self._problem = Refused(Refusal.KEYLESS_UNAVAILABLE, f"trustedRoot cannot be used: {why}")

    async def _exchange(self, document: dict[str, Any]) -> dict[str, Any] | None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(document) + b"\n")
        try:
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (ConnectionError, ValueError):
            return None
        return dict(json.loads(line)) if line.endswith(b"\n") else None


async def complete_image_check(
    pending: Pending, raw: bytes, digest: str, required: Requirements, sigstore: SigstoreClient
) -> SignatureResult:
    """Complete the check of an image's bundle (``raw``)."""
    if pending.key is not None:
        bodies = await sigstore.verify_entries(pending.bundle.entries)
        return bodies if isinstance(bodies, Refused) else check_logged(pending, bodies, required)
    found = await sigstore.verify_certified(raw, required.policy.identities)
    if isinstance(found, Refused):
        return found
    return check_certified(found.signer, found.payload_type, found.payload, digest, required)


async def complete_blob_check(
    pending: Pending, blob: bytes, required: Requirements, sigstore: SigstoreClient
) -> SignatureResult:
    """Complete the check of a blob's bundle."""
    bodies = await sigstore.verify_entries(pending.bundle.entries)
    return bodies if isinstance(bodies, Refused) else check_logged(pending, bodies, required, blob)
