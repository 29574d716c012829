"""Pure: what Brain and Execution of one stack said when they were asked. What was not said is None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from titan.domain.kinds import Posture, RiskLevel


@dataclass(frozen=True)
class PhaseView:
    """A phase as Brain sees it.

    Attributes
    ----------
    policy_hash
        What the running phase says it enforces; empty before it ever connected.
    allocation
        Quote units that its budget allots; None while it has no budget.
    weight
        Its part of the capital, in [0, 1]; None where Brain does not say.
    """

    connected: bool
    policy_hash: str = ""
    allocation: Decimal | None = None
    weight: Decimal | None = None


@dataclass(frozen=True)
class BrainView:
    """Brain's picture.

    Attributes
    ----------
    policy_hash
        Computed by the running Brain from the rules that it enforces.
    reason, by
        Why the posture in force is what it is, and who last moved the latch.
    equity
        Quote units; None while Execution has not told it.
    drawdown
        Fraction of the peak; None while equity is unknown.
    truth_score
        0 to 100; None before the first clean pass.
    execution_policy_hash
        What Execution told Brain; empty while it never did.
    phases
        By role of the phase (its id at Brain).
    market_label
        What kind of market it is ("SIMULATED MARKET"); empty before the market said so.
    database_problem, rows_waiting
        Why its table cannot be read or written now, empty where it can; and how many decisions wait for it.
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
    """Execution's picture, with all that a drain waits for.

    Attributes
    ----------
    policy_hash
        Computed by the running Execution from the rules that it enforces.
    working_orders
        Everything that is not at its end, stops and targets included.
    working_entries
        Those of them that would open or add risk.
    unresolved_orders
        Those of them of which the venue has not yet said what became of them.
    reconciled
        Every order in doubt was resolved with the venue, since its start and since the last reconnection.
    journal_flushed
        Every record of the journal is on the disk.
    database_problem, rows_waiting
        Why its tables cannot be written now, empty where they can; and how many records of the journal wait for them.
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
        """Whether it may be replaced: nothing can open, nothing is unresolved, all is written down."""
        return not self.working_entries and not self.unresolved_orders and self.journal_flushed


@dataclass(frozen=True)
class StackView:
    """Both, at one look; ``problems`` says by role, in a sentence, why one of them is None."""

    brain: BrainView | None = None
    execution: ExecutionView | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ack:
    """What became of a request.

    Attributes
    ----------
    reached
        Whether the process answered at all; where not, nothing is known of what it did and the request may be repeated.
    done
        Whether it did as asked.
    reason
        Name of the enumerated reason (``OK``, ``POSTURE``, ``UNAVAILABLE``, …).
    message
        One sentence for people.
    acknowledged_by
        Who obeyed beside Brain; empty where Execution did not answer in time.
    working_orders, open_positions
        As Execution counted them; None where it did not say.
    preconditions
        What stands against arming, a sentence each.
    """

    done: bool
    reason: str
    message: str
    reached: bool = True
    acknowledged_by: str = ""
    working_orders: int | None = None
    open_positions: int | None = None
    preconditions: tuple[str, ...] = ()
