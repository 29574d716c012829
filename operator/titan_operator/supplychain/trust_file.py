"""The trust policy in force: the newest valid one of a mounted file, which may change while the operator runs."""

from __future__ import annotations

import os
from pathlib import Path

from titan_operator.supplychain.trust import TrustPolicy, TrustPolicyError, load_trust_policy

_Stamp = tuple[int, int, int]


class TrustFile:
    """Reads a trust policy again whenever its file has changed.

    An invalid file changes nothing: the policy in force stays, with its revocations.

    Attributes
    ----------
    policy
        The one in force; None before there was a valid one.
    missing
        Whether there is no file.
    problem
        Why the present file is not in force, in a sentence; empty where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Stamp | None = None
        self.policy: TrustPolicy | None = None
        self.missing = True
        self.problem = f"no trust policy is mounted, {path} is not there; give trustPolicy in the values of chart titan"

    def reload(self) -> bool:
        """Read the file if it has changed; return whether another policy is in force now."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the stamp of a symbolic link's target, as elsewhere
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._seen:
                return False
            text = self._path.read_bytes()
        except OSError as error:
            self._seen, self.missing = None, True
            if self.policy is not None:
                self.problem = f"{self._path}: {error.strerror}; {self._unchanged()}"
            return False
        self._seen, self.missing = stamp, False
        try:
            policy = load_trust_policy(text)
        except TrustPolicyError as error:
            self.problem = f"{self._path}: {error}; {self._unchanged()}"
            return False
        self.problem = ""
        changed = self.policy is None or policy.hash != self.policy.hash
        self.policy = policy
        return changed

    def _unchanged(self) -> str:
        if self.policy is None:
            return "there was none before it: nothing new is verified"
        return f"{self.policy.hash} stays in force, with its revocations"
