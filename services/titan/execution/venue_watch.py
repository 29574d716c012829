"""Watch the rate of venue errors: CLOSE_ONLY first, and what the policy names when the venue goes on failing."""

from __future__ import annotations

import time
from collections.abc import Callable

from titan.domain.enums import OrderRole, RiskLevel
from titan.domain.numbers import ZERO
from titan.domain.policy_rules import PolicyRules
from titan.domain.time import NS_PER_S
from titan.domain.venue_errors import WINDOW_NS, VenueErrors, error_level, failure_posture
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper

# As long as any risk level, CLOSE_ONLY stays after the rate has fallen.
CALM_NS = 600 * NS_PER_S


class VenueWatch:
    """Lowers the posture by the rate of venue errors. Its clock is the machine's."""

    def __init__(
        self,
        rules: PolicyRules,
        errors: VenueErrors,
        store: JournalledAccount,
        posture: PostureKeeper,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._rules = rules
        self._errors = errors
        self._account = store.account
        self._posture = posture
        self._monotonic_ns = monotonic_ns
        self._bad_ns = 0
        self._failed_since_ns = 0

    def check(self) -> None:
        """Bring the posture to what the present rate requires."""
        now_ns = self._monotonic_ns()
        rate = self._errors.rate(now_ns)
        level = error_level(rate, self._rules)
        if level is RiskLevel.NORMAL:
            self._failed_since_ns = 0
            if self._posture.venue_problem and now_ns - self._bad_ns >= CALM_NS:
                self._posture.venue_problem = ""
            return
        self._bad_ns = now_ns
        self._posture.venue_problem = f"venue errors {rate:.2f} of all calls in two minutes, level {level.name}"
        if level is not RiskLevel.EMERGENCY:
            self._failed_since_ns = 0
        elif not self._failed_since_ns:
            self._failed_since_ns = now_ns
        elif now_ns - self._failed_since_ns >= WINDOW_NS:
            latch = failure_posture(self._rules, self._stops_confirmed())
            if latch < self._posture.latch.posture:
                self._posture.tighten(latch, "execution (venue errors)", self._posture.venue_problem)

    def _stops_confirmed(self) -> bool:
        """Whether stops that work at the venue cover each net position."""
        covered = dict.fromkeys(self._account.holdings, ZERO)
        for order in self._account.working.values():
            if order.order_role is OrderRole.STOP and order.at_venue:
                covered[order.symbol] = covered.get(order.symbol, ZERO) + order.remaining_quantity
        return all(abs(held.quantity) <= covered[symbol] for symbol, held in self._account.holdings.items())
