"""Certificates of a local stack: made before it starts, replaced at half of their lifetime while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titan.runtime.pki.certificates import Authority

STACK_NAME = "local"
# Delay before a failed write is retried.
_RETRY_S = 5.0


class Identities:
    """The certificates of every role of the stack, as files.

    Parameters
    ----------
    folders
        The folder of each role's certificate.
    lifetime
        Lifetime of a new certificate.
    """

    def __init__(self, authority: Authority, folders: Mapping[str, Path], lifetime: timedelta) -> None:
        self._authority = authority
        self._folders = folders
        self._lifetime = lifetime

    def issue(self) -> None:
        """Make every certificate that is missing, foreign, past half of its lifetime, or lasts longer than a new one.

        Raises
        ------
        OSError
            When a folder cannot be written.
        """
        from titan.runtime.pki.certificate_files import issue

        for role, folder in self._folders.items():
            issue(self._authority, role, STACK_NAME, folder, lifetime=self._lifetime)

    async def keep(self, report: Callable[[str], None]) -> None:
        """Replace certificates while the stack runs, until canceled; the processes reload the files by themselves."""
        while True:
            await asyncio.sleep(max(0.0, self._due_in_s()))
            try:
                self.issue()
            except OSError as error:
                # The present certificates stay valid. A full disk must not end a stack that holds positions.
                report(f"certificates cannot be replaced: {error.strerror or error}; next try in {_RETRY_S:g} s")
                await asyncio.sleep(_RETRY_S)

    def _due_in_s(self) -> float:
        from titan.runtime.pki.certificate_files import read_leaf

        leaves = [read_leaf(folder) for folder in self._folders.values()]
        now = datetime.now(UTC)
        return min(((leaf.renew_at - now).total_seconds() if leaf is not None else 0.0) for leaf in leaves)
