"""The words of the domain, as enumerations whose numbers are those of the wire contract.

The numbers are equal to the protobuf enums of the same name (``tests/unit/runtime/rpc/test_contract.py`` holds them
together), so a value crosses the wire without a table.
"""

from __future__ import annotations

from enum import IntEnum


class Side(IntEnum):
    """Side of an order or trade."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(IntEnum):
    """Type of execution of an order."""

    MARKET = 1
    LIMIT = 2
    STOP_MARKET = 3
    TAKE_PROFIT_MARKET = 4


class TimeInForce(IntEnum):
    """Lifetime of an order."""

    GTC = 1
    IOC = 2
    POST_ONLY = 3


class Posture(IntEnum):
    """Limit on the activity of the stack. A greater posture allows more, so the one in force is a minimum."""

    FLATTEN = 1
    HALTED = 2
    CLOSE_ONLY = 3
    ARMED = 4


class RiskLevel(IntEnum):
    """The automatic risk level. A greater level is worse."""

    NORMAL = 1
    CAUTIOUS = 2
    DEFENSIVE = 3
    EMERGENCY = 4


class OrderRole(IntEnum):
    """Purpose of an order within its intent."""

    ENTRY = 1
    STOP = 2
    TARGET = 3
    EXIT = 4
    FLATTEN = 5


class OrderState(IntEnum):
    """States of an order; :mod:`titan.domain.orders` has the allowed transitions."""

    NEW = 1
    JOURNALLED = 2
    SENT = 3
    ACKED = 4
    PARTIAL = 5
    FILLED = 6
    CANCELED = 7
    REJECTED = 8
    EXPIRED = 9
    LOST = 10
    UNKNOWN = 11


class Action(IntEnum):
    """Kind of a phase's request."""

    OPEN = 1
    CLOSE = 2


class PositionEffect(IntEnum):
    """Opening adds risk; reducing cannot."""

    OPENING = 1
    REDUCING = 2


class Verdict(IntEnum):
    """Verdict of a guard."""

    PASS = 1
    SHRINK = 2
    REJECT = 3
    EXEMPT = 4
    NOT_REACHED = 5


class BudgetState(IntEnum):
    """States of a budget."""

    ACTIVE = 1
    THROTTLED = 2
    CLOSE_ONLY = 3
    HALTED = 4


class DriftClass(IntEnum):
    """Kinds of disagreement between journal, shadow state and venue."""

    GHOST = 1
    UNTRACKED = 2
    POLICY_HASH = 3
    SIZE_MISMATCH = 4
    ORPHAN_ORDER = 5
    MISSED_FILL = 6
    BALANCE = 7
    SHARES = 8
    MIRROR = 9
