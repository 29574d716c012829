"""Every reason for which something is refused or ended: the one table.

The numbers are those of the wire contract (``protos/titan/v1/common.proto``).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Reason(IntEnum):
    """An enumerated reason; each has its meaning beside it."""

    OK = 1  # nothing was refused
    INVALID_INTENT = 2  # a field is missing, out of its range or contradicts another
    DUPLICATE_INTENT = 3  # this intent id was decided before
    SIGNAL_TOO_OLD = 4  # the sum of hop durations exceeds maxSignalAgeMs
    POSTURE = 5  # the posture in force does not allow it
    RISK_LEVEL = 6  # the automatic risk level does not allow it
    LOSS_STREAK = 7  # losses in a row: the phase pauses
    BUDGET_EXPIRED = 8  # the phase has no live budget
    NO_ALLOCATION = 9  # the phase has no weight at this equity
    BUDGET_EXHAUSTED = 10  # the rest of the budget is below the minimum
    ORDER_RATE = 11  # more orders a minute than the budget allows
    SYMBOL_NOT_ALLOWED = 12  # the policy does not name the symbol
    MODE_NOT_ALLOWED = 13  # the policy does not allow this mode
    PRICE_STALE = 14  # the price is older than maxPriceAgeMs, or there is none
    TRUTH_TOO_LOW = 15  # truth score below minTruthScore
    UNRESOLVED_DRIFT = 16  # venue and journal disagree
    SCORE_TOO_LOW = 17  # setup score below minConfidence
    STOP_MISSING = 18  # an opening order needs a stop
    TARGET_MISSING = 19  # an opening order needs a target
    EDGE_TOO_SMALL = 20  # expected edge below minEdgeToCost times the cost
    STOP_TOO_CLOSE = 21  # stop within stopVolatilityMultiple times the volatility
    LATENCY = 22  # pipeline latency above latencyRejectMs
    EXECUTION_QUALITY = 23  # execution quality below minExecutionQuality
    REGIME = 24  # the regime does not allow it
    TAIL = 25  # tail limits do not allow it
    CORRELATION = 26  # too correlated with open exposure
    POSITION_NOTIONAL = 27  # maxPositionNotional
    ORDER_NOTIONAL = 28  # maxOrderNotional
    TOTAL_NOTIONAL = 29  # maxTotalNotional
    ACCOUNT_LEVERAGE = 30  # account leverage after the trade
    MARGIN_USE = 31  # margin in use after the trade
    LIQUIDATION_DISTANCE = 32  # liquidation nearer than three stop distances
    DAILY_LOSS = 33  # the day's loss and reserved worst cases reach the limit
    TRADE_LOSS = 34  # loss at stop above maxLossPerTrade
    ENTRY_ORDERS = 35  # too many entry orders open on the symbol
    OPPOSES_PHASE = 36  # opens against another phase's position
    BELOW_MINIMUM = 37  # the size that is allowed is below the instrument's minimum
    KELLY = 38  # the Kelly cap leaves nothing
    EQUITY_UNKNOWN = 39  # equity is unknown
    TRUTH_UNKNOWN = 40  # no clean reconciliation yet
    NOTHING_TO_REDUCE = 41  # the phase holds nothing on that side
    POLICY_HASH_MISMATCH = 42  # two processes enforce different policies
    STALE_TERM = 43  # a later Brain has been seen
    LEASE_LOST = 44  # this Execution no longer holds the lease
    EXECUTION_AWAY = 45  # Brain has no stream to Execution
    BRAIN_AWAY = 46  # Execution has received nothing from Brain for too long
    JOURNAL_UNAVAILABLE = 47  # the journal cannot be written
    NOT_REDUCING = 48  # a reduce-only order would open
    INSUFFICIENT_MARGIN = 49  # the account cannot carry it
    PRICE_TICK = 50  # the price is no multiple of the tick
    QUANTITY_STEP = 51  # the quantity is no multiple of the step
    WOULD_TAKE = 52  # a post-only order would take
    WOULD_TRIGGER = 53  # a trigger order would trigger at once
    NO_LIQUIDITY = 54  # the book is empty on that side
    RECEIVE_WINDOW = 55  # the request arrived after its receive window
    DUPLICATE_ORDER = 56  # the client order id was used before
    UNKNOWN_ORDER = 57  # no such order, or it is final
    UNKNOWN_SYMBOL = 58  # no such instrument
    VENUE_ERROR = 59  # the venue failed
    EXPIRED = 60  # its time to live ended
    ABSENT_AT_VENUE = 61  # the venue never had it: queried after the receive window
    CANCELED_BY_POSTURE = 62  # canceled because the posture, budget, lease or Brain went away
    POSITION_CLOSED = 63  # its position is closed
    STOP_OBLIGATION = 64  # a position without its stop in time is flattened
    PRECONDITION = 65  # a precondition of arming does not hold
    NONCE_USED = 66  # an act is one-shot
    SHUTTING_DOWN = 67  # the process is stopping
    THINNED = 70  # a size factor leaves less than a lot: not every setup is taken


class Rejection(NamedTuple):
    """A reason and its sentence, which begins with the reason's name."""

    reason: Reason
    message: str

    @classmethod
    def of(cls, reason: Reason, detail: str) -> Rejection:
        """Make a rejection of a reason and the detail that follows its name."""
        return cls(reason, f"{reason.name}: {detail}")
