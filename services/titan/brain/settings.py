"""Settings of the Brain process, and the files they name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from titan.domain.enums import Posture
from titan.domain.numbers import parse_decimal
from titan.domain.policy_rules import Mode
from titan.durable.files import write_durably
from titan.risk.parameters import RiskParameters
from titan.runtime.policy_file import read_input
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings

_TERM_FILE = "term"
PostureName = Literal["FLATTEN", "HALTED", "CLOSE_ONLY", "ARMED"]


class BrainSettings(ProcessSettings, kw_only=True, frozen=True):
    """Settings of Brain beside those of every process.

    ``phases`` are in rank order: in lockstep a step waits for each of them. ``posture_ceiling`` is the RiskPolicy
    resource's. ``margin_leverage`` lowers a phase's venue setting ("scavenger=15"). ``parameters_file`` holds a JSON
    object of :class:`~titan.risk.parameters.RiskParameters`; empty: its defaults. ``database_url`` empty: a SQLite
    file in the state folder.
    """

    phases: tuple[str, ...] = ("scavenger",)
    mode: Mode = "paper"
    posture_ceiling: PostureName = "ARMED"
    margin_leverage: dict[str, str] = msgspec.field(default_factory=dict)
    parameters_file: str = ""
    database_url: str = ""
    heartbeat_period_ms: int = 1_000
    acknowledge_timeout_ms: int = 2_000

    @property
    def ceiling(self) -> Posture:
        """The highest posture that the resource allows."""
        return Posture[self.posture_ceiling]


def load_parameters(settings: BrainSettings) -> RiskParameters:
    """Read Brain's parameters and apply the settings of the planned phases.

    Raises
    ------
    StartError
        One sentence when the file cannot be read or a phase or number is not allowed.
    """
    parameters = RiskParameters()
    if settings.parameters_file:
        try:
            parameters = msgspec.json.decode(
                read_input(settings.parameters_file, "parameters_file"), type=RiskParameters
            )
        except msgspec.DecodeError as error:
            raise StartError(f"parameters_file: {settings.parameters_file!r}: {error}") from error
    known = ", ".join(parameters.phases)
    for phase in (*settings.phases, *settings.margin_leverage):
        if phase not in parameters.phases:
            raise StartError(f"phases: {phase!r} is not known; allowed are {known}")
    if not settings.phases or len(set(settings.phases)) != len(settings.phases):
        raise StartError(
            f"phases: {', '.join(settings.phases) or 'none'}; allowed is each of {known} once, at least one"
        )
    phases = dict(parameters.phases)
    for phase, text in settings.margin_leverage.items():
        setting = _leverage(phase, text)
        lowered = min(setting, phases[phase].margin_leverage)
        phases[phase] = msgspec.structs.replace(phases[phase], margin_leverage=lowered)
    return msgspec.structs.replace(parameters, phases=phases)


def next_term(state_dir: str) -> int:
    """Count one more start of Brain on this state folder, sync the count and return it.

    Raises
    ------
    StartError
        One sentence when the count cannot be read or written: without it Execution cannot tell two Brains apart.
    """
    path = Path(state_dir) / _TERM_FILE
    try:
        before = int(path.read_bytes()) if path.exists() else 0
        store_term(state_dir, before + 1)
    except ValueError as error:
        raise StartError(
            f"state_dir: {str(path)!r} holds no term; allowed is the count of Brain's starts, a whole number"
        ) from error
    except OSError as error:
        raise StartError(f"state_dir: {str(path)!r} cannot be written: {error.strerror or error}") from error
    return before + 1


def store_term(state_dir: str, term: int) -> None:
    """Store this Brain's term, durably.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    write_durably(Path(state_dir) / _TERM_FILE, b"%d\n" % term)


def _leverage(phase: str, text: str) -> Decimal:
    try:
        setting = parse_decimal(text, f"margin_leverage of {phase}")
    except ValueError as error:
        raise StartError(str(error)) from error
    if setting < 1:
        raise StartError(f"margin_leverage of {phase}: {text} is below 1")
    return setting
