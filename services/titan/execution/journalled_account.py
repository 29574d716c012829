"""The journal and the account that it makes, written together and listened to in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from titan.domain.account import Account, Change
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Fact, Intake, LatchChange, Record
from titan.domain.recovery import JournalMemory
from titan.durable.journal.journal import Journal, RecoveryReport
from titan.execution.events import ExecutionEvents, RecordListener
from titan.runtime.process import StartError
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import execution_pb2
from titan.wire.journal import decode_record, encode_intake, encode_record

# A record that the next order need not find durable is synced this much later at the latest.
SYNC_DELAY_S = 0.05


class JournalledAccount:
    """Every fact goes into the account and the journal together, then to ``events.recorded``, in order.

    The event is sent by :meth:`notify`, not at the moment of writing: on the order path the venue is first.
    """

    def __init__(
        self, journal: Journal, account: Account, now_ns: Callable[[], int], term: int, events: ExecutionEvents
    ) -> None:
        self.journal = journal
        self.account = account
        self.term = term
        self._now_ns = now_ns
        self._events = events
        self._pending: deque[tuple[int, Record, Change]] = deque()
        self._sync_timer: asyncio.TimerHandle | None = None

    @property
    def now_ns(self) -> int:
        """Market time."""
        return self._now_ns()

    def write(self, fact: Fact) -> Change:
        """Write one fact; it is durable after the next :meth:`sync`, at the latest in 50 ms.

        Raises
        ------
        ValueError
            When it does not fit the account (see :meth:`Account.apply`); nothing is written then.
        JournalUnavailable
            When the journal cannot be written: the process has to end.
        """
        record = Record(fact, self.now_ns, self.term)
        change = self.account.apply(record)
        self._append(encode_record(record), record, change)
        if self._sync_timer is None:
            self._sync_timer = asyncio.get_running_loop().call_later(SYNC_DELAY_S, self._sync_late)
        return change

    def write_intake(self, intake: Intake, request: execution_pb2.PlaceOrder, *, alone: bool) -> Change:
        """Write that an order was taken. The caller syncs before the order is sent to the venue.

        Parameters
        ----------
        alone
            No other order shares the sync: the disk begins while the account takes the order in.
        """
        record = Record(intake, self.now_ns, self.term)
        payload = encode_intake(request, intake.position_effect, record.market_time_ns, self.term)
        # An intake fits any account: no error can come between the journal and the account.
        sequence = self.journal.append(payload)
        if alone:
            self.journal.begin_sync()
        change = self.account.apply(record)
        self._pending.append((sequence, record, change))
        return change

    def sync(self, *, mark: bool = True) -> None:
        """Make every written record durable; see :meth:`Journal.sync`.

        Raises
        ------
        JournalUnavailable
            When the disk refuses: the process has to end.
        """
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        self.journal.sync(mark=mark)

    def notify(self) -> None:
        """Send ``events.recorded`` for each record since the last call."""
        while self._pending:
            self._events.recorded(*self._pending.popleft())

    def close(self) -> None:
        """Sync and close the journal."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        self.journal.close()

    def _append(self, payload: bytes, record: Record, change: Change) -> None:
        sequence = self.journal.append(payload)
        self._pending.append((sequence, record, change))

    def _sync_late(self) -> None:
        self._sync_timer = None
        try:
            self.journal.sync()
            self.journal.reserve()
        except Exception as error:
            self._events.failed(str(error))
            raise


def count_changes(metrics: Metrics) -> RecordListener:
    """Return a listener that counts orders by state and reason, fills and round trips."""
    orders = metrics.counter(
        "titan_orders", "Orders that came into a state, by order role and reason.", ["leg", "state", "reason"]
    )
    fills = metrics.counter("titan_fills", "Executions booked.", ["leg"])
    trips = metrics.counter("titan_round_trips", "Finished trades.", ["phase"])

    def count(_sequence: int, _record: Record, change: Change) -> None:
        if change.order is not None:
            orders.labels(change.order.order_role.name, change.order.state.name, change.order.reason.name).inc()
        if change.fill is not None:
            fills.labels(change.fill.order_role.name).inc()
        if change.round_trip is not None:
            trips.labels(change.round_trip.phase_id).inc()

    return count


def open_journal(
    folder: Path,
    on_sync: Callable[[int], None],
    listener: RecordListener,
    before_writing: Callable[[RecoveryReport], None] | None = None,
) -> tuple[Journal, Account, JournalMemory, RecoveryReport]:
    """Open the journal and fold it into an account.

    Parameters
    ----------
    listener
        Receives each record with the change it made.
    before_writing
        See :meth:`Journal.open`.

    Returns
    -------
    tuple
        The journal, the account, what the records say about other files, and the report of the recovery.

    Raises
    ------
    JournalUnavailable, JournalCorrupt
        When the journal cannot be opened.
    StartError
        When a record is not one of this program's.
    """
    journal, records, report = Journal.open(folder, on_sync=on_sync, before_writing=before_writing)
    account = Account(PAPER_INSTRUMENTS)
    memory = fold(account, ((record.sequence, record.payload) for record in records), listener)
    return journal, account, memory, report


def fold(account: Account, records: Iterable[tuple[int, bytes]], listener: RecordListener) -> JournalMemory:
    """Apply the journal's records to an account; return what they say about other files.

    Raises
    ------
    StartError
        When a record does not fit; names its sequence.
    """
    last_ns = term = 0
    latch = None
    for sequence, payload in records:
        try:
            record = decode_record(payload)
            change = account.apply(record)
        except ValueError as error:
            raise StartError(f"journal record {sequence} cannot be read: {error}") from error
        listener(sequence, record, change)
        last_ns = max(last_ns, record.market_time_ns)
        term = max(term, record.term)
        if isinstance(record.fact, LatchChange):
            latch = record.fact.posture
    return JournalMemory(last_ns=last_ns, latch=latch, term=term)
