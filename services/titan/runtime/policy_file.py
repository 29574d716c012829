"""Read the files that a process's settings name, above all the policy in force."""

from __future__ import annotations

from pathlib import Path

from titan.domain.policy import PolicyError
from titan.domain.policy_hash import Policy, read_policy
from titan.runtime.process import StartError


def load_policy(path: str) -> Policy:
    """Read the rules in the setting ``policy_file`` and hash them.

    Raises
    ------
    StartError
        One sentence when the setting is empty, or the file cannot be read or holds no policy.
    """
    if not path:
        raise StartError("policy_file is missing; it holds the rules of the policy in force")
    try:
        return read_policy(read_input(path, "policy_file"))
    except PolicyError as error:
        raise StartError(f"policy_file: {path!r} holds no policy: {error}") from error


def read_input(path: str, field: str) -> bytes:
    """Read the file that the setting ``field`` names.

    Raises
    ------
    StartError
        One sentence with the setting, the path and the system's reason.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"{field}: {path!r} cannot be read: {error.strerror or error}") from error
