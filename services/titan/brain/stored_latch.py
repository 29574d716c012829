"""Brain's latch as the risk controller uses it: lowering takes effect in memory even where the disk fails."""

from __future__ import annotations

from titan.domain.kinds import Posture
from titan.durable.latch import Latch, LatchUnavailable
from titan.runtime.telemetry.logs import Log


class StoredLatch:
    """Lowers the latch on the disk and logs each change."""

    def __init__(self, latch: Latch, log: Log) -> None:
        self._latch = latch
        self._log = log

    @property
    def posture(self) -> Posture:
        """The highest posture that the latch allows."""
        return self._latch.posture

    @property
    def never_set(self) -> bool:
        """Whether no act has set it yet."""
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

    def finish_flatten(self) -> None:
        """Move from FLATTEN to HALTED: Execution reports the account flat."""
        try:
            self._latch.finish_flatten("execution", "the account is flat")
        except LatchUnavailable as error:
            self._log.error("latch stays at FLATTEN", reason=error.reason)
