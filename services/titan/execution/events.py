"""The events by which Execution's parts notify each other, as one object that is made first and given to all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from titan.domain.account import Change
from titan.domain.journal_records import Record
from titan.domain.truth import TruthSnapshot

RecordListener = Callable[[int, Record, Change], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEvents:
    """The receiver of each event. There is no default: a forgotten receiver fails at construction."""

    recorded: RecordListener
    """A fact was written: its sequence, the record and the change it made."""
    failed: Callable[[str], None]
    """A part failed for good, with one sentence: the process has to end."""
    reconciliation_requested: Callable[[str], None]
    """Something did not fit, with one sentence: a pass of reconciliation has to run soon."""
    truth_changed: Callable[[TruthSnapshot], None]
    """A pass, or silence, changed the truth snapshot."""
    adopted: Callable[[], None]
    """A pass adopted something, which no order or fill tells: whoever mirrors the account needs it anew."""
    reconciled: Callable[[], None]
    """A pass left nothing in doubt."""
    flatten_finished: Callable[[], None]
    """Everything is closed, and the latch is at HALTED."""
    posture_changed: Callable[[], None]
    """The posture in force may have changed."""
    evidence_contradicted: Callable[[str], None]
    """Another store holds what the journal should hold and does not, with one sentence."""
