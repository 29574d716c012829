"""The rate of venue errors and what follows from it. Source: domain.md section 4. Pure.

Only failures of the way to the venue count: no answer, and outcomes that stay unknown. A refusal is an answer.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from titan.domain.enums import Posture, RiskLevel
from titan.domain.policy_rules import PolicyRules
from titan.domain.time import NS_PER_S

WINDOW_NS = 60 * NS_PER_S
# Four failures of twenty calls happen by chance: so many calls, in two windows in a row, show a rate.
MIN_CALLS = 20
_WINDOWS = 2


class VenueErrors:
    """Calls and failures in windows of the machine's clock."""

    def __init__(self) -> None:
        # (window, calls, failures), newest last; the newest is not complete.
        self._windows: deque[tuple[int, int, int]] = deque(maxlen=_WINDOWS + 1)

    def add_call(self, monotonic_ns: int, *, failed: bool) -> None:
        """Count a call with its outcome, as far as that is known at once."""
        self._add(monotonic_ns, 1, int(failed))

    def add_unknown(self, monotonic_ns: int) -> None:
        """Count that a call, counted before, turned out to have an unknown outcome."""
        self._add(monotonic_ns, 0, 1)

    def rate(self, monotonic_ns: int) -> Decimal | None:
        """Return the lower rate of the last two complete windows; None where one of them has too few calls."""
        current = monotonic_ns // WINDOW_NS
        complete = {window: (calls, failures) for window, calls, failures in self._windows}
        rates = []
        for window in (current - 1, current - 2):
            calls, failures = complete.get(window, (0, 0))
            if calls < MIN_CALLS:
                return None
            rates.append(min(Decimal(1), Decimal(failures) / calls))
        return min(rates)

    def _add(self, monotonic_ns: int, calls: int, failures: int) -> None:
        window = monotonic_ns // WINDOW_NS
        if self._windows and self._windows[-1][0] == window:
            _, before, failed = self._windows.pop()
            calls, failures = before + calls, failed + failures
        self._windows.append((window, calls, failures))


def error_level(rate: Decimal | None, rules: PolicyRules) -> RiskLevel:
    """Return the level that a rate of errors requires; an unknown rate requires none."""
    if rate is None or rate < rules.venue_errors_defensive:
        return RiskLevel.NORMAL
    return RiskLevel.EMERGENCY if rate >= rules.venue_errors_emergency else RiskLevel.DEFENSIVE


def failure_posture(rules: PolicyRules, stops_confirmed: bool) -> Posture:
    """Return the latch that follows a venue that failed.

    A flatten through a venue that fails is the last resort: positions whose stops work there are safer kept.
    """
    if rules.on_venue_failure == "halt":
        return Posture.HALTED
    if rules.on_venue_failure == "flatten" and not stops_confirmed:
        return Posture.FLATTEN
    return Posture.CLOSE_ONLY
