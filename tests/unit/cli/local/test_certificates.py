"""Certificates of a local stack: replaced in time, and a full disk ends nothing."""

from __future__ import annotations

import asyncio
import errno
from datetime import timedelta
from pathlib import Path

import pytest

from titan.cli.local import certificates as module
from titan.cli.local.certificates import Identities
from titan.runtime.pki.certificate_files import ensure_ca, read_leaf

ROLES = ("brain", "execution")


def certificates(folders: dict[str, Path]) -> list[bytes]:
    leaves = [read_leaf(folder) for folder in folders.values()]
    return [leaf.cert_pem for leaf in leaves if leaf is not None]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {role: tmp_path / role for role in ROLES}


async def test_every_certificate_is_replaced_at_half_of_its_time(tmp_path: Path, folders: dict[str, Path]) -> None:
    identities = Identities(ensure_ca(tmp_path / "ca"), folders, timedelta(seconds=4))
    identities.issue()
    before = certificates(folders)
    identities.issue()
    assert certificates(folders) == before, "nothing is due yet"
    reports: list[str] = []
    keeping = asyncio.ensure_future(identities.keep(reports.append))
    async with asyncio.timeout(60):
        while any(one in before for one in certificates(folders)) or len(certificates(folders)) < len(ROLES):
            await asyncio.sleep(0.02)
    keeping.cancel()
    assert reports == []


async def test_full_disk_is_reported_and_retried(
    tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = Identities(ensure_ca(tmp_path / "ca"), folders, timedelta(seconds=60))
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    issue, failures = identities.issue, [OSError(errno.ENOSPC, "No space left on device")]

    def refuse_once() -> None:
        if failures:
            raise failures.pop()
        issue()

    monkeypatch.setattr(identities, "issue", refuse_once)
    reports: list[str] = []
    keeping = asyncio.ensure_future(identities.keep(reports.append))
    async with asyncio.timeout(60):
        while len(certificates(folders)) < len(ROLES):
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert reports == ["certificates cannot be replaced: No space left on device; next try in 0.01 s"]
