"""Pure: the state that Brain and Execution of one stack reported. What was not reported is None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from titan.domain.enums import Posture, RiskLevel


@dataclass(frozen=True)
class PhaseView:
    """State of a phase as Brain reports it.

    Attributes
    ----------
    policy_hash
        Hash of the policy that the running phase reports to enforce; empty before it ever connected.
    allocation
        Capital that its budget allots, in quote units; None while it has no budget.
    weight
        Its part of the capital, in [0, 1]; None where Brain does not report one.
    """

    connected: bool
    policy_hash: str = ""
    allocation: Decimal | None = None
    weight: Decimal | None = None


@dataclass(frozen=True)
class BrainView:
    """State of a stack as Brain reports it.

    Attributes
    ----------
    policy_hash
        Computed by the running Brain from the rules that it enforces.
    reason, by
        Reason of the posture in force, and the user who last moved the latch.
    equity
        Quote units, at confirmed prices; None while Execution has not reported it for 10 s of market time.
    drawdown
        Fraction of the peak; None while equity is unknown.
    truth_score
        0 to 100; None before the first clean pass.
    execution_policy_hash
        Policy hash that Execution reported to Brain; empty while it never did.
    phases
        By role of the phase (its id at Brain).
    market_label
        Kind of the market ("SIMULATED MARKET"); empty before the market reported it.
    database_problem, rows_waiting
        Why its table cannot be read or written now, empty where it can; and the number of decisions not yet saved.
    """

    policy_hash: str
    ceiling: Posture | None
    latch: Posture
    in_force: Posture
    risk_level: RiskLevel | None = None
    reason: str = ""
    by: str = ""
    latch_never_set: bool = False
    equity: Decimal | None = None
    drawdown: Decimal | None = None
    truth_score: int | None = None
    execution_connected: bool = False
    execution_policy_hash: str = ""
    phases: Mapping[str, PhaseView] = field(default_factory=dict)
    market_label: str = ""
    database_problem: str = ""
    rows_waiting: int = 0


@dataclass(frozen=True)
class ExecutionView:
    """State of Execution as it reports it, with all that a drain waits for.

    Attributes
    ----------
    policy_hash
        Computed by the running Execution from the rules that it enforces.
    working_orders
        Orders that are not final, stops and targets included.
    working_entries
        Working orders that would open a position or add risk.
    unresolved_orders
        Working orders whose outcome the venue has not yet reported.
    reconciled
        Whether every order in doubt was resolved with the venue, since its start and since the last reconnection.
    journal_flushed
        Whether every record of the journal is on the disk.
    database_problem, rows_waiting
        Why its tables cannot be written now, empty where they can; and the number of journal records not yet projected.
    """

    policy_hash: str
    latch: Posture
    in_force: Posture
    working_orders: int
    working_entries: int
    unresolved_orders: int
    open_positions: int
    lease_held: bool
    reconciled: bool
    venue_connected: bool
    brain_connected: bool
    journal_flushed: bool
    database_problem: str = ""
    rows_waiting: int = 0

    @property
    def drained(self) -> bool:
        """Whether it may be replaced: no working entry, no unresolved order, and the journal is synced."""
        return not self.working_entries and not self.unresolved_orders and self.journal_flushed


@dataclass(frozen=True)
class StackView:
    """Views of both processes by one query; ``problems`` holds, by role, why one of them is None, in a sentence."""

    brain: BrainView | None = None
    execution: ExecutionView | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ack:
    """Result of a request.

    Attributes
    ----------
    reached
        Whether the process answered; where not, the outcome is unknown and the request may be repeated.
    done
        Whether the process carried the request out.
    reason
        Name of the enumerated reason (``OK``, ``POSTURE``, ``UNAVAILABLE``, …).
    message
        One sentence for people.
    acknowledged_by
        The process that acknowledged besides Brain; empty where Execution did not answer in time.
    working_orders, open_positions
        As Execution counted them; None where it did not report them.
    preconditions
        Unmet conditions of arming, a sentence each.
    """

    done: bool
    reason: str
    message: str
    reached: bool = True
    acknowledged_by: str = ""
    working_orders: int | None = None
    open_positions: int | None = None
    preconditions: tuple[str, ...] = ()
