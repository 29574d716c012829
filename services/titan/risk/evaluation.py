"""One intent under evaluation: the guards' inputs, and their results for the guards that follow."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import OrderType, PositionEffect, Side, TimeInForce, Verdict
from titan.domain.intents import Intent
from titan.domain.notional import notional_price
from titan.domain.numbers import ONE, ZERO, ceil_to
from titan.domain.position_effect import Reducible
from titan.domain.reasons import Reason
from titan.risk.limits import Limits
from titan.risk.state import PhaseState, RiskState, SymbolState

PASS, SHRINK, REJECT = Verdict.PASS, Verdict.SHRINK, Verdict.REJECT
OK = Reason.OK

# A guard's value or limit: text, or a template with its arguments. Only the record writes it out.
Raw = str | tuple[object, ...]
# A guard's outcome: verdict, reason, value, limit, and the largest notional that would pass (quote units).
Outcome = tuple[Verdict, Reason, Raw, Raw, Decimal | None]


class Evaluation:
    """The intent with everything that the guards compare it with.

    Attributes
    ----------
    price
        Quote units: the limit price, or the far side of the quote, or (no quote) the intent's own reference. It is the
        worst price for the phase, at which stop and target distances are measured.
    notional_price
        Quote units: the highest price at which the order can fill, at which its size is measured.
    least
        Quote units at ``notional_price``: the smallest size that the instrument accepts, one lot.
    notional
        Quote units at ``notional_price``: the largest size so far; None while nothing has bounded it. It only shrinks.
    scale
        Product of the factors below 1; guard 20 applies it.
    age_ns
        Age of the signal, as guard 1 measured it.
    explores
        Guard 8 passed one lot of a setup that it would refuse, so that the setup can earn its way back.
    thinned
        The accumulator of guard 20 after this setup; None where it did not act.
    fits
        What the order may take back of the phase's own position; None where it does not oppose it.
    loss_fraction
        Stop distance plus cost, a fraction of price; set by guard 8.
    """

    __slots__ = (
        "age_ns",
        "explores",
        "fits",
        "intent",
        "least",
        "limits",
        "loss_fraction",
        "notional",
        "notional_price",
        "now_ns",
        "phase",
        "position_effect",
        "price",
        "risk_state",
        "scale",
        "seen",
        "stop_fraction",
        "symbol",
        "thinned",
    )

    def __init__(
        self, intent: Intent, risk_state: RiskState, phase: PhaseState, symbol: SymbolState, now_ns: int, seen: bool
    ) -> None:
        self.intent = intent
        self.risk_state = risk_state
        self.limits: Limits = risk_state.limits
        self.phase = phase
        self.symbol = symbol
        self.now_ns = now_ns
        self.seen = seen
        self.position_effect = PositionEffect.OPENING
        self.fits: Reducible | None = None
        if intent.order_type is OrderType.LIMIT:
            price = intent.limit_price
        elif symbol.quote_ns:
            price = symbol.ask if intent.side is Side.BUY else symbol.bid
        else:
            price = intent.reference_price
        self.price = price
        self.notional_price = notional_price(intent.side, price, symbol.bid)
        instrument = symbol.instrument
        least = instrument.min_quantity
        # The venue measures its minimum at the limit price; Execution gives a market order the limit of its band.
        limit = price
        if intent.side is Side.SELL and intent.order_type is OrderType.MARKET:
            limit = price * self.limits.band_below
        if limit and least * limit < instrument.min_notional:
            least = ceil_to(instrument.min_notional / limit, instrument.quantity_step)
        self.least = least * self.notional_price
        self.notional: Decimal | None = intent.max_notional or None
        self.scale = ONE
        self.age_ns = 0
        self.explores = False
        self.thinned: Decimal | None = None
        self.loss_fraction = ZERO
        self.stop_fraction = ZERO

    @property
    def maker(self) -> bool:
        """Return whether the entry is post-only, and so pays the maker fee."""
        return self.intent.time_in_force is TimeInForce.POST_ONLY


def signal_age_ns(intent: Intent, now_ns: int, lockstep: bool) -> int:
    """Compute a signal's age at ``now_ns`` of the market clock.

    The market clock covers every hop, also one that nobody measured. Faster than real time, measured durations are no
    market time.
    """
    age_ns = now_ns - intent.event_time_ns
    return age_ns if lockstep else max(age_ns, intent.age_ns)


def scaled(e: Evaluation, factor: Decimal, value: Raw, limit: Raw) -> Outcome:
    """Apply a factor below 1 on the size or, where that would leave less than a lot, on the frequency (guard 20)."""
    e.scale *= factor
    return SHRINK, OK, value, limit, None


def capped(e: Evaluation, largest: Decimal, reason: Reason, value: Raw, limit: Raw) -> Outcome:
    """Shrink the notional to ``largest`` (quote units), or reject when that cannot be traded.

    ``reason`` is for a cap that leaves nothing; one that leaves something below the instrument's minimum rejects with
    BELOW_MINIMUM: a size is never rounded up.
    """
    notional = e.notional
    left = largest if notional is None or largest < notional else notional
    if left < e.least:
        if largest <= ZERO:
            return REJECT, reason, value, limit, ZERO
        return REJECT, Reason.BELOW_MINIMUM, value, ("minimum={}", e.least), largest
    if left is notional:
        return PASS, OK, value, limit, largest
    e.notional = left
    return (PASS if notional is None else SHRINK), OK, value, limit, largest
