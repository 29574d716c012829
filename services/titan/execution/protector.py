"""Orders and cancels that the account needs by itself: stops, targets, closes, and orders whose time is over."""

from __future__ import annotations

from titan.domain.deadlines import UncoveredLot, due_cancels, uncovered_lots, working_entries
from titan.domain.protection import Amend, Cancel, Place, flatten_lot, plan_protection
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS
from titan.execution.journalled_account import JournalledAccount
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics


class Protector:
    """Keeps the stop obligation, and cancels orders that may rest no longer.

    Attributes
    ----------
    active
        False before the first reconciliation: nothing is placed for an account that was not compared.
    """

    def __init__(
        self, settings: ExecutionSettings, store: JournalledAccount, sender: Sender, metrics: Metrics, log: Log
    ) -> None:
        self.active = False
        self._store = store
        self._account = store.account
        self._sender = sender
        self._log = log
        self._stop_deadline_ns = settings.stop_deadline_ms * NS_PER_MS
        self._uncovered_since_ns: dict[str, int] = {}
        self._obligations = metrics.counter("titan_stop_obligations_broken", "Lots flattened for want of a stop.")
        self._uncovered = metrics.gauge("titan_uncovered_lots", "Open lots without a working stop for all of them.")

    def protect(self) -> None:
        """Send the stops, targets and closes that the account needs now: one sync for all new orders."""
        if not self.active or not self._sender.can_send:
            return
        steps = plan_protection(self._account, self._sender.flight, self._store.now_ns, self._store.term)
        self._sender.place([step.order for step in steps if isinstance(step, Place)])
        for step in steps:
            if isinstance(step, Amend):
                self._sender.amend(step.order, step.quantity)
            elif isinstance(step, Cancel):
                self._sender.cancel(step.order, step.reason)

    def check_stops(self) -> None:
        """Flatten each lot whose stop does not work at the venue in time, on the market clock."""
        now_ns = self._store.now_ns
        uncovered = uncovered_lots(self._account, self._uncovered_since_ns, now_ns)
        self._uncovered_since_ns = {each.lot.intent_id: each.since_ns for each in uncovered}
        self._uncovered.set(len(self._uncovered_since_ns))
        if not self.active:
            return
        for each in uncovered:
            if now_ns - each.since_ns >= self._stop_deadline_ns:
                self._flatten(each, now_ns)

    def sweep(self, entries_may_rest: bool) -> None:
        """Cancel orders whose time is over, entries that may not rest, and orders whose cancel was not answered."""
        for due in due_cancels(self._account, self._sender.cancel_reasons, entries_may_rest, self._store.now_ns):
            self._sender.cancel(due.order, due.reason, due.message)

    def cancel_entries(self, phase_id: str, reason: Reason, message: str) -> int:
        """Cancel entries of one phase, or of all where ``phase_id`` is empty; return how many were requested."""
        return sum(self._sender.cancel(order, reason, message) for order in working_entries(self._account, phase_id))

    def _flatten(self, uncovered: UncoveredLot, now_ns: int) -> None:
        lot = uncovered.lot
        step = flatten_lot(self._account, lot, now_ns, self._store.term)
        if step is None or not self._sender.can_send:
            return
        self._obligations.inc()
        message = f"stop not working {(now_ns - uncovered.since_ns) // NS_PER_MS} ms after the fill"
        self._log.error("stop obligation broken: flattening", intent=lot.intent_id, symbol=lot.symbol, why=message)
        self._sender.place([step.order])
