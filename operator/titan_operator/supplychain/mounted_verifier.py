"""The operator's verifier, by the mounted trust policy and the mounted credentials of registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import aiohttp

from titan_operator.api import RiskPolicy
from titan_operator.supplychain.cosign_verifier import CosignVerifier
from titan_operator.supplychain.registry import Registries
from titan_operator.supplychain.registry.credential_files import CredentialFiles, Login
from titan_operator.supplychain.trust import TrustPolicy
from titan_operator.supplychain.trust_file import TrustFile
from titan_operator.supplychain.verdict import TrustTerms, Verdict


class SignatureVerifier(Protocol):
    """Verifies under one trust policy; see :class:`titan_operator.supplychain.cosign_verifier.CosignVerifier`."""

    async def verify(self, image: str) -> Verdict:
        """Verify ``image``, a reference by digest."""

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Verify the signature of ``policy``; it has one."""


class MountedVerifier:
    """Verifies by the trust policy in force; without one no image passes.

    Parameters
    ----------
    make
        Returns a verifier for a trust policy and logins by host.
    """

    def __init__(
        self,
        trust: TrustFile,
        credentials: CredentialFiles,
        make: Callable[[TrustPolicy, Mapping[str, Login]], SignatureVerifier],
    ) -> None:
        self._trust = trust
        self._credentials = credentials
        self._verifier_for = make
        self._verifier: SignatureVerifier | None = None
        self._terms = TrustTerms()
        self._logins: Mapping[str, Login] = {}

    @property
    def terms(self) -> TrustTerms:
        """Terms of the trust policy in force for the lists."""
        return self._terms

    @property
    def problem(self) -> str:
        """Problem of the mounted files, in a sentence; empty without one, or where nothing was ever mounted."""
        never = self._trust.missing and self._trust.policy is None
        return "; ".join(filter(None, ("" if never else self._trust.problem, self._credentials.problem)))

    def reload(self) -> bool:
        """Read the mounted files again; return whether another trust policy is in force now."""
        changed = self._trust.reload()
        self._credentials.reload()
        policy = self._trust.policy
        if policy is not None and (changed or self._credentials.logins != self._logins):
            self._logins = self._credentials.logins
            self._verifier = self._verifier_for(policy, self._logins)
            self._terms = trust_terms(policy)
        return changed

    async def verify(self, image: str) -> Verdict:
        """Verify ``image``, a reference by digest."""
        return self._no_trust_policy() if self._verifier is None else await self._verifier.verify(image)

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Verify the signature of ``policy`` over its hash, account and sequence; it has one."""
        return self._no_trust_policy() if self._verifier is None else await self._verifier.verify_policy(policy)

    def _no_trust_policy(self) -> Verdict:
        return Verdict(False, reason="NoTrustPolicy", message=self._trust.problem)


def registry_session() -> aiohttp.ClientSession:
    """Return a session for registries, which keeps no cookies and ignores proxies of the environment."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def cosign_verifier(
    session: aiohttp.ClientSession, policy: TrustPolicy, logins: Mapping[str, Login]
) -> SignatureVerifier:
    """Return a verifier of cosign's signatures under one trust policy."""
    mirrors = {mirror.registry: mirror.hosts for mirror in policy.registries.mirrors}
    registries = Registries(
        session, plain_http=frozenset(policy.registries.plain_http), mirrors=mirrors, logins=logins.get
    )
    return CosignVerifier(policy, registries, lambda: datetime.now(UTC))


def trust_terms(policy: TrustPolicy) -> TrustTerms:
    """Return the terms of a trust policy for the lists."""
    return TrustTerms(
        trust_policy=policy.hash,
        revoked_digests=frozenset(policy.revoked_digests),
        revoked_keys=frozenset(signer.name for signer in policy.signers if signer.revoked),
        infrastructure=policy.infrastructure,
        drain=policy.on_revocation == "Drain",
    )
