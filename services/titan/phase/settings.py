"""Settings of a phase process, and the files they name."""

from __future__ import annotations

from pathlib import Path

from titan.domain.policy import PolicyError
from titan.domain.policy_hash import Policy, read_policy
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings
from titan.strategies.base import Strategy
from titan.strategies.catalogue import make_strategy


class PhaseSettings(ProcessSettings, kw_only=True, frozen=True):
    """``role`` is the phase's id, ``parameters_file`` a JSON object of parameters (empty: the strategy's defaults)."""

    strategy: str = "scavenger"
    parameters_file: str = ""


def load_policy(settings: PhaseSettings) -> Policy:
    """Read the rules that this process was given, and hash what was read.

    Raises
    ------
    StartError
        One sentence when there is no file, it cannot be read, or holds no policy.
    """
    if not settings.policy_file:
        raise StartError("policy_file is missing; it holds the rules of the policy in force")
    try:
        return read_policy(_read(settings.policy_file, "policy_file"))
    except PolicyError as error:
        raise StartError(f"policy_file: {settings.policy_file!r} holds no policy: {error}") from error


def load_strategy(settings: PhaseSettings) -> Strategy:
    """Make the strategy that the settings name.

    Raises
    ------
    StartError
        One sentence: the strategy is not known, the file cannot be read, or a parameter is not allowed.
    """
    text = _read(settings.parameters_file, "parameters_file") if settings.parameters_file else b""
    try:
        return make_strategy(settings.strategy, text)
    except ValueError as error:
        raise StartError(str(error)) from error


def _read(path: str, field: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"{field}: {path!r} cannot be read: {error.strerror or error}") from error
