"""Certificates of a local stack: made before it starts, replaced at half of their time while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titan.runtime.pki.certificates import Authority

STACK_NAME = "local"
# What could not be written is tried again this much later.
_RETRY_S = 5.0


class Identities:
    """The certificates of every role of the stack, as files.

    Parameters
    ----------
    folders
        Role to the folder of its certificate.
    lifetime
        How long a certificate lasts from its making.
    """

    def __init__(self, authority: Authority, folders: Mapping[str, Path], lifetime: timedelta) -> None:
        self._authority = authority
        self._folders = folders
        self._lifetime = lifetime

    def issue(self) -> None:
        """Make every certificate that is missing, foreign, past half of its time, or lasts longer than a new one.

        Raises
        ------
        OSError
            When a folder cannot be written.
        """
        from titan.runtime.pki.authority_files import issue

        for role, folder in self._folders.items():
            issue(self._authority, role, STACK_NAME, folder, lifetime=self._lifetime)

    async def keep(self, say: Callable[[str], None]) -> None:
        """Replace certificates while the stack runs, for ever; the processes take them up by themselves."""
        while True:
            await asyncio.sleep(max(0.0, self._due_in_s()))
            try:
                self.issue()
            except OSError as error:
                # What stands goes on standing; a full disk must not end a stack that holds positions.
                say(f"certificates cannot be replaced: {error.strerror or error}; again in {_RETRY_S:g} s")
                await asyncio.sleep(_RETRY_S)

    def _due_in_s(self) -> float:
        from titan.runtime.pki.authority_files import read_leaf

        leaves = [read_leaf(folder) for folder in self._folders.values()]
        now = datetime.now(UTC)
        return min(((leaf.renew_at - now).total_seconds() if leaf is not None else 0.0) for leaf in leaves)
