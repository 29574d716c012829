"""What Brain mirrors: the whole account on connecting, and a digest of it once a second of market time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from titan.domain.enums import DriftClass
from titan.domain.equity import Equity
from titan.domain.journal_records import Refusal
from titan.domain.mirror_digest import digest, mirror_lines, reported_orders
from titan.domain.order_intake import first_result
from titan.domain.orders import Order
from titan.domain.positions import RoundTrip
from titan.domain.time import NS_PER_S, utc_day
from titan.domain.truth import Drift
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.reconciler import Reconciler
from titan.execution.valuation import Valuer
from titan.v1 import execution_pb2 as pb
from titan.wire import account as account_wire
from titan.wire import orders as wire
from titan.wire.journal import refusal_to_wire

# The longest loss streak of any policy fits; totals are sent beside them.
TRIPS_PER_PHASE = 100
_DIGEST_PERIOD_NS = NS_PER_S
# Brain numbers its orders from here; Execution counts on when it sends an exit again.
_FIRST_ATTEMPT = 1


class AccountReporter:
    """Writes the account for Brain, and compares Brain's view with it."""

    def __init__(
        self,
        store: JournalledAccount,
        posture: PostureKeeper,
        valuer: Valuer,
        reconciler: Reconciler,
        policy_hash: str,
    ) -> None:
        self._store = store
        self._account = store.account
        self._posture = posture
        self._valuer = valuer
        self._reconciler = reconciler
        self._policy_hash = policy_hash
        self._digested_ns = 0
        # The view of the last digest: the evidence when Brain's differs.
        self._sequence = 0
        self._lines: list[str] = []

    def account(self, equity: Equity, unanswered: Iterable[str]) -> pb.AccountState:
        """Write the account as of the journal's last record, with the results of Brain's ``unanswered`` intents."""
        account = self._account
        self._digested_ns = 0
        first = [first_result(account, intent_id, _FIRST_ATTEMPT) for intent_id in unanswered]
        return pb.AccountState(
            sequence=self._store.journal.last_sequence,
            working=[wire.order_to_wire(order) for order in account.working.values()],
            positions=[wire.position_to_wire(position) for position in self._valuer.positions()],
            equity=wire.equity_to_wire(equity),
            truth=wire.truth_to_wire(self._reconciler.truth),
            posture=self._posture.to_wire(),
            policy_hash=self._policy_hash,
            term=self._store.term,
            reconciled=self._reconciler.settled.is_set(),
            round_trips=[wire.round_trip_to_wire(trip) for trip in _last_trips(account.round_trips)],
            recent_intent_ids=account.opened.get(utc_day(self._store.now_ns), []),
            entry_terms=account_wire.entry_terms_to_wire(account),
            open_trips=[account_wire.open_trip_to_wire(share, trip) for share, trip in account.trips.items()],
            setup_results=account_wire.setup_results_to_wire(account.trip_results),
            day_results=account_wire.day_results_to_wire(account.trip_results),
            answered=[wire.order_to_wire(result) for result in first if isinstance(result, Order)],
            refused=[refusal_to_wire(result) for result in first if isinstance(result, Refusal)],
        )

    def due_digest(self, market_time_ns: int) -> pb.MirrorDigest | None:
        """Return the digest of what has been reported so far, or None before a second of market time has passed."""
        if market_time_ns - self._digested_ns < _DIGEST_PERIOD_NS:
            return None
        self._digested_ns = market_time_ns
        self._sequence, self._lines = self._store.journal.last_sequence, self._view()
        return pb.MirrorDigest(sequence=self._sequence, sha256=digest(self._lines))

    def mirror_drift(self, sequence: int, brains: Sequence[str]) -> Drift:
        """Make the drift of a Brain whose view differs: what only one of both has, as of the last digest."""
        ours = self._lines if sequence == self._sequence else self._view()
        return Drift(
            drift_class=DriftClass.MIRROR,
            symbol="",
            ours="; ".join(sorted({*ours} - {*brains})),
            venues="; ".join(sorted({*brains} - {*ours})),
            resolved=True,
            repair="Brain's view is rebuilt from Execution's account",
        )

    def _view(self) -> list[str]:
        return mirror_lines(self._account.positions, reported_orders(self._account.working.values()))


def _last_trips(trips: Sequence[RoundTrip]) -> list[RoundTrip]:
    """Return the last trips of each phase, oldest first."""
    counts: Counter[str] = Counter()
    last = []
    for trip in reversed(trips):
        counts[trip.phase_id] += 1
        if counts[trip.phase_id] <= TRIPS_PER_PHASE:
            last.append(trip)
    return last[::-1]
