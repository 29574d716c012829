"""Brain's latch: lowering it takes effect in memory even where the disk fails."""

from __future__ import annotations

from titan.domain.enums import Posture
from titan.durable.latch import Latch, LatchUnavailable
from titan.runtime.telemetry.logs import Log


class StoredLatch:
    """Changes the latch on the disk, and logs what is lowered."""

    def __init__(self, latch: Latch, log: Log) -> None:
        self._latch = latch
        self._log = log

    @property
    def posture(self) -> Posture:
        """The highest posture that the latch allows."""
        return self._latch.posture

    @property
    def never_set(self) -> bool:
        """Return whether no act has set it yet."""
        return self._latch.never_set

    @property
    def by(self) -> str:
        """The actor who set it last."""
        return self._latch.by

    @property
    def reason(self) -> str:
        """The reason of the last act."""
        return self._latch.reason

    def lower(self, posture: Posture, by: str, reason: str) -> str:
        """Lower it at once; return the problem with storing it, or an empty string."""
        try:
            if self._latch.tighten(posture, by, reason):
                self._log.warning("posture lowered", latch=self._latch.posture.name, by=by, reason=reason)
        except LatchUnavailable as error:
            self._log.error("latch lowered, but not stored", reason=error.reason)
            return error.reason
        return ""

    def used(self, nonce: str) -> bool:
        """Return whether an act with this nonce has raised the latch before."""
        return self._latch.used(nonce)

    def raise_to(self, posture: Posture, by: str, nonce: str, reason: str, *, only_if_never_set: bool) -> None:
        """Raise the latch by a one-shot act.

        Raises
        ------
        LatchRefused
            When the nonce was used, or ``only_if_never_set`` and an act has set the latch before.
        LatchUnavailable
            When it cannot be stored; nothing is raised then.
        """
        self._latch.raise_to(posture, by, nonce, reason, only_if_never_set=only_if_never_set)

    def finish_flatten(self) -> None:
        """Move from FLATTEN to HALTED: Execution reports the account flat."""
        try:
            self._latch.finish_flatten("the account is flat")
        except LatchUnavailable as error:
            self._log.error("latch stays at FLATTEN", reason=error.reason)
