"""Certificates of a stack in Secrets: when they are written, and that they are written once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from titan.runtime.pki.certificates import Leaf
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.resource_kinds import Kind
from titan_operator.settings import OperatorSettings
from titan_operator.stack.certificates import StackCertificates

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
DAY_S = 86_400.0


@dataclass
class Secrets:
    """The API server: Secrets, and how often each was written."""

    stored: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Mapping[str, Any] | None:
        return self.stored.get(name)

    async def create(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        await self.apply(kind, manifest)

    async def apply(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        self.stored[manifest["metadata"]["name"]] = manifest
        self.written.append(manifest["metadata"]["name"])


@dataclass
class Operators:
    """One operator after the other, each with a folder of its own, as its pod has."""

    folder: Path
    cluster: Secrets = field(default_factory=Secrets)
    started: int = 0
    now: datetime = NOW

    def one(self, lifetime_s: float) -> StackCertificates:
        self.started += 1
        settings = OperatorSettings(
            role="operator",
            http_port=0,
            state_dir=str(self.folder / str(self.started)),
            namespaces=["titan"],
            operator_namespace="titan-system",
            pod_name="operator-0",
            certificate_lifetime_s=lifetime_s,
        )
        return StackCertificates(cast(Cluster, self.cluster), "titan", settings, lambda: self.now)

    async def passes(self, identity: StackCertificates, count: int = 3) -> list[str]:
        """Passes over a stack of two; what was written."""
        self.cluster.written.clear()
        for _ in range(count):
            await identity.prepare()
            for phase in ("brain", "execution"):
                await identity.ensure(phase, phase, self.cluster.stored.get(f"{phase}-tls"))
        return self.cluster.written

    def leaf(self, phase: str) -> Leaf:
        data = self.cluster.stored[f"{phase}-tls"]["data"]
        found = Leaf.read({name: base64.b64decode(value) for name, value in data.items()})
        assert found is not None
        return found


@pytest.fixture
def operators(tmp_path: Path) -> Operators:
    return Operators(tmp_path)


async def test_what_is_good_is_written_once_and_again_at_half_of_its_time(operators: Operators) -> None:
    identity = operators.one(DAY_S)
    assert await operators.passes(identity) == ["authority-titan", "brain-tls", "execution-tls"]
    assert await operators.passes(operators.one(DAY_S)) == [], "another operator takes what it finds"
    operators.now += timedelta(hours=12, seconds=1)
    assert await operators.passes(identity) == ["brain-tls", "execution-tls"]


@pytest.mark.parametrize("lowered_s", [3_600.0, 3_600.7, DAY_S - 1])
async def test_after_a_lowered_lifetime_each_is_renewed_once_at_once(operators: Operators, lowered_s: float) -> None:
    await operators.passes(operators.one(DAY_S))
    before = {phase: operators.leaf(phase) for phase in ("brain", "execution")}
    identity = operators.one(lowered_s)
    assert await operators.passes(identity, 5) == ["brain-tls", "execution-tls"]
    for phase, old in before.items():
        new = operators.leaf(phase)
        assert new.cert_pem != old.cert_pem
        assert abs(new.lifetime.total_seconds() - lowered_s) <= 1
    # The first pass of an operator has the renewal in its calendar, or it would come at the next look only.
    assert identity.renewal_in_s() <= lowered_s / 2


async def test_after_a_raised_one_they_last_as_long_as_they_were_made_for(operators: Operators) -> None:
    await operators.passes(operators.one(3_600.0))
    identity = operators.one(DAY_S)
    assert await operators.passes(identity) == []
    operators.now += timedelta(minutes=31)
    assert await operators.passes(identity) == ["brain-tls", "execution-tls"]
    assert operators.leaf("brain").lifetime == timedelta(days=1)


async def test_the_operators_own_is_renewed_too(operators: Operators) -> None:
    identity = operators.one(DAY_S)
    await identity.prepare()
    first = (identity.directory / "cert.pem").read_bytes()
    await identity.prepare()
    assert (identity.directory / "cert.pem").read_bytes() == first
    # The same folder: a container that was started again in its pod.
    operators.started -= 1
    lowered = operators.one(3_600.0)
    assert lowered.directory == identity.directory
    for _ in range(2):
        await lowered.prepare()
    second = (identity.directory / "cert.pem").read_bytes()
    assert second != first
    await lowered.prepare()
    assert (identity.directory / "cert.pem").read_bytes() == second
