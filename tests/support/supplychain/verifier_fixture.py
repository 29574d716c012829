"""A verifier over registries of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from support.supplychain.registry import RegistryServer
from support.supplychain.trust_policies import trusted_key
from titan_operator.supplychain.cosign_verifier import CosignVerifier
from titan_operator.supplychain.registry import Registries
from titan_operator.supplychain.registry.credential_files import Login
from titan_operator.supplychain.trust import TrustPolicy, read_trust_policy

NAME = "team/app"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def policy_of(pem: str, key: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A trust policy with one key named release, for any image."""
    return {"keys": [trusted_key("release", pem, **(key or {}))], "images": [{"pattern": "**"}], **more}


@asynccontextmanager
async def verifier_of(
    document: Mapping[str, Any],
    plain: tuple[str, ...],
    logins: Mapping[str, Login] | None = None,
    *,
    timeout_s: float = 10.0,
    longest_s: float = 30.0,
) -> AsyncIterator[CosignVerifier]:
    """A verifier under a trust policy; ``plain`` are hosts without TLS."""
    registries = {**document.get("registries", {}), "plainHttp": list(plain)}
    policy: TrustPolicy = read_trust_policy({**document, "registries": registries})
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        found = Registries(
            session,
            plain_http=frozenset(policy.registries.plain_http),
            mirrors={mirror.registry: mirror.hosts for mirror in policy.registries.mirrors},
            logins=(logins or {}).get,
            timeout_s=timeout_s,
        )
        yield CosignVerifier(policy, found, lambda: NOW, longest_s=longest_s)


def image_at(server: RegistryServer, digest: str) -> str:
    """How a TitanPhase names the image."""
    return f"{server.host}/{NAME}@{digest}"
