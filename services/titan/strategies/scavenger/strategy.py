"""Scavenger: structural breakout with a tripwire on the perpetual, confirmed by spot trades.

A trap lies beyond each edge of the perpetual's recent range. The first trade of the perpetual across a tripwire, coming
from inside, opens a window. When it ends, spot's takers of that window and of the time before it confirm the breakout
or not. The setup's score goes with the intent, and Brain's policy decides whether it is enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from titan.domain.enums import Action, OrderType, Side, TimeInForce
from titan.domain.instruments import Instrument
from titan.domain.market import Bar, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.marks import mid_price
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Fill, Order
from titan.domain.time import NS_PER_MS
from titan.strategies.bars import BarWindow
from titan.strategies.base import (
    NOTHING_PERMITTED,
    DecisionNote,
    Holding,
    IntentDraft,
    MarketNeeds,
    Permission,
)
from titan.strategies.scavenger.entries import entry_prices, order_kind
from titan.strategies.scavenger.flow import TakerFlow
from titan.strategies.scavenger.ownership import Ownership
from titan.strategies.scavenger.parameters import ScavengerParameters
from titan.strategies.scavenger.score import score_setup
from titan.strategies.scavenger.structure import find_level
from titan.strategies.scavenger.trap import Trap
from titan.strategies.scavenger.trips import Abort, Measured, Trip

BREAKOUT_SETUP = "structural-breakout"
TIME_EXIT_SETUP = "time-exit"
_NOTHING: tuple[IntentDraft, ...] = ()


class Scavenger:
    """The strategy with all of its state. See :class:`ScavengerParameters` for every number."""

    name = "scavenger"

    def __init__(self, parameters: ScavengerParameters) -> None:
        self.parameters = parameters
        bar_ns = parameters.bar_ms * NS_PER_MS
        self._perp = BarWindow(bar_ns, parameters.memory_bars)
        self._spot = BarWindow(bar_ns, parameters.memory_bars)
        self._flow = TakerFlow((parameters.before_ms + parameters.confirm_ms + parameters.max_lag_ms) * NS_PER_MS)
        self._traps = (Trap(Side.BUY), Trap(Side.SELL))
        self._own = Ownership(parameters)
        self._permission = NOTHING_PERMITTED
        self._instrument: Instrument | None = None
        self._trip: Trip | None = None
        self._quote: QuoteEvent | None = None
        self._cooled_ns = {Side.BUY: 0, Side.SELL: 0}
        self._reference = 0
        self._now_ns = 0
        self._last_outcome: dict[str, object] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def needs(self) -> MarketNeeds:
        """Both symbols. The quote serves spread and reference price only, so the last of a batch is enough."""
        return MarketNeeds((self.parameters.perp_symbol, self.parameters.spot_symbol), conflate_quotes=True)

    @property
    def counters(self) -> Mapping[tuple[str, str], int]:
        """Counts of ``trip``, ``abort`` (by reason), ``confirmation`` and ``draft`` (by setup)."""
        return self._counts

    def on_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Store the perpetual, for its tick.

        Raises
        ------
        ValueError
            When one of the two symbols is not listed.
        """
        listed = {instrument.symbol: instrument for instrument in instruments}
        for symbol in self.needs.symbols:
            if symbol not in listed:
                raise ValueError(f"symbol {symbol} is not listed by the market; it lists {', '.join(sorted(listed))}")
        self._instrument = listed[self.parameters.perp_symbol]

    def warm_up(self, bars: Sequence[Bar]) -> None:
        """Append bars of ``bar_ms`` of both symbols; others are ignored."""
        taken = 0
        for bar in bars:
            if bar.symbol == self.parameters.perp_symbol:
                taken += self._perp.warm_up(bar)
            elif bar.symbol == self.parameters.spot_symbol:
                taken += self._spot.warm_up(bar)
        if taken:
            self._counts["warm_up_bar", ""] += taken
            self._set_traps()

    def permit(self, permission: Permission) -> None:
        """Set the permission for drafts."""
        self._permission = permission

    def on_event(self, event: MarketEvent) -> Sequence[IntentDraft]:
        """React to a trade or quote of one of the two symbols."""
        drafts = self._advance(event.market_time_ns)
        if isinstance(event, TradeEvent):
            price, quantity = float(event.price), float(event.quantity)
            if event.symbol == self.parameters.spot_symbol:
                self._spot.add(price, quantity)
                self._flow.add(event.market_time_ns, event.event_time_ns, event.taker_side, quantity)
                if self._trip is not None:
                    drafts = [*drafts, *self._confirm_early(self._trip, event.market_time_ns)]
            elif event.symbol == self.parameters.perp_symbol:
                self._perp.add(price, quantity)
                self._on_perp_price(price)
        elif isinstance(event, QuoteEvent) and event.symbol == self.parameters.perp_symbol:
            self._quote = event
        return drafts

    def on_time(self, now_ns: int) -> Sequence[IntentDraft]:
        """Close bars and windows that end by ``now_ns``."""
        return self._advance(now_ns)

    def on_decision(self, note: DecisionNote) -> None:
        """See :meth:`Ownership.on_decision`."""
        self._own.on_decision(note)

    def on_order(self, order: Order) -> None:
        """See :meth:`Ownership.on_order`."""
        self._own.on_order(order)

    def on_fill(self, fill: Fill) -> None:
        """See :meth:`Ownership.on_fill`."""
        self._own.on_fill(fill)

    def on_positions(self, holdings: Sequence[Holding]) -> None:
        """See :meth:`Ownership.on_positions`."""
        self._own.on_positions(holdings)

    def dump_state(self) -> dict[str, int]:
        """See :meth:`Ownership.dump_state`."""
        return self._own.dump_state()

    def load_state(self, state: Mapping[str, int]) -> None:
        """See :meth:`Ownership.load_state`."""
        self._own.load_state(state)

    def status(self) -> dict[str, object]:
        """Levels, the trap under confirmation, the last outcome, the holding and the day's trades."""
        holding, trip = self._own.holding, self._trip
        return {
            "bars": {"perp": len(self._perp), "spot": len(self._spot), "wanted": self.parameters.min_level_bars},
            "levels": [
                {
                    "side": trap.side.name,
                    "price": trap.level.price,
                    "wire_price": trap.wire_price,
                    "touches": trap.level.touches,
                    "age_ms": trap.level.age_bars * self.parameters.bar_ms,
                    "armed": trap.armed,
                }
                for trap in self._traps
                if trap.level is not None
            ],
            "pending_trip": None if trip is None else self._describe(trip, "pending", ""),
            "last_trap": self._last_outcome or None,
            "position": None
            if holding is None
            else {
                "symbol": holding.symbol,
                "quantity": format_decimal(holding.quantity),
                "average_entry_price": format_decimal(holding.average_entry_price),
                "opened_ns": holding.opened_ns,
                "closes_at_ns": holding.opened_ns + self.parameters.hold_ms * NS_PER_MS,
            },
            "trades_today": self._own.trades_today,
            "max_trades_per_day": self.parameters.max_trades_per_day,
            "parameters": "demo" if self.parameters == ScavengerParameters() else "own",
        }

    def _advance(self, now_ns: int) -> Sequence[IntentDraft]:
        """Advance the market clock to ``now_ns``: bars close, a window ends, a holding's time is over."""
        self._now_ns = now_ns
        self._spot.advance(now_ns)
        if self._perp.advance(now_ns):
            self._set_traps()
        drafts: list[IntentDraft] | None = None
        trip = self._trip
        if trip is not None and now_ns >= trip.ends_ns:
            self._trip = None
            entry = self._confirm(trip, now_ns)
            if entry is not None:
                drafts = [entry]
        if self._own.holding is not None and self._permission.closing and self._own.exit_due(now_ns):
            drafts = [*(drafts or ()), self._exit(self._own.holding, now_ns)]
        return _NOTHING if drafts is None else drafts

    def _set_traps(self) -> None:
        rules, last_price = self.parameters, self._perp.last_price
        highs, lows = self._perp.recent(rules.level_bars)
        for trap in self._traps:
            trap.set_level(find_level(trap.side, highs, lows, rules), last_price, rules.tripwire_bps)

    def _on_perp_price(self, price: float) -> None:
        trip = self._trip
        if trip is not None:
            inside = trip.level.price * (1.0 - trip.side.sign * self.parameters.wick_tolerance_bps / 10_000)
            if (price - inside) * trip.side.sign < 0.0:
                self._trip = None
                self._abort(trip, Abort.WICK_REVERSION, f"{price} is back inside {inside:.8g}")
        for trap in self._traps:
            level = trap.level
            if trap.crossed(price) and level is not None:
                self._on_crossing(Trip(trap.side, level, price, self._now_ns, self._now_ns + self._confirm_ns))

    @property
    def _confirm_ns(self) -> int:
        return self.parameters.confirm_ms * NS_PER_MS

    def _on_crossing(self, trip: Trip) -> None:
        self._counts["trip", trip.side.name.lower()] += 1
        obstacle = self._obstacle(trip.side, trip.tripped_ns)
        if obstacle is not None:
            self._abort(trip, *obstacle)
        elif self._trip is not None:
            self._abort(trip, Abort.TRIP_PENDING, f"since {self._trip.tripped_ns}")
        else:
            self._trip = trip

    def _obstacle(self, side: Side, now_ns: int) -> tuple[Abort, str] | None:
        """Return the reason that forbids an entry now, before anything is measured."""
        if now_ns >= self._permission.opening_until_ns or self._instrument is None:
            return Abort.NOT_PERMITTED, self._permission.reason
        if self._own.holding is not None:
            return Abort.POSITION_OPEN, f"{self._own.quantity} {self.parameters.perp_symbol}"
        if self._own.entry_in_flight(now_ns):
            return Abort.ENTRY_IN_FLIGHT, "an entry waits for its fill"
        if now_ns < self._cooled_ns[side]:
            return Abort.COOLDOWN, f"{(self._cooled_ns[side] - now_ns) // NS_PER_MS} ms to go"
        if self._own.trades_spent(now_ns):
            return Abort.TRADES_SPENT, f"{self._own.trades_today} of {self.parameters.max_trades_per_day} today"
        return None

    def _confirm_early(self, trip: Trip, now_ns: int) -> Sequence[IntentDraft]:
        """Confirm before the window ends, once the score of spot's takers is high enough."""
        if now_ns < trip.tripped_ns + self.parameters.settle_ms * NS_PER_MS:
            return _NOTHING
        measured = self._measure(trip, now_ns)
        if not isinstance(measured, Measured) or measured.score.total < self.parameters.early_score:
            return _NOTHING
        self._trip = None
        entry = self._entry(trip, measured)
        return _NOTHING if entry is None else (entry,)

    def _confirm(self, trip: Trip, now_ns: int) -> IntentDraft | None:
        """Confirm or abort a trip whose window has ended."""
        if now_ns - trip.ends_ns > self.parameters.max_lag_ms * NS_PER_MS:
            self._abort(trip, Abort.WINDOW_OVERRUN, f"{(now_ns - trip.ends_ns) // NS_PER_MS} ms late")
            return None
        measured = self._measure(trip, trip.ends_ns)
        if not isinstance(measured, Measured):
            self._abort(trip, *measured)
            return None
        return self._entry(trip, measured)

    def _measure(self, trip: Trip, until_ns: int) -> Measured | tuple[Abort, str]:
        """Measure a trip until ``until_ns``, or return the reason against it."""
        rules = self.parameters
        after = self._flow.measure(trip.tripped_ns, until_ns, trip.side)
        if after.takers < rules.min_spot_takers:
            return Abort.FEW_SPOT_TAKERS, f"{after.takers} < {rules.min_spot_takers}"
        if after.imbalance < rules.min_imbalance:
            return Abort.SPOT_DISAGREES, f"imbalance {after.imbalance:.3f} < {rules.min_imbalance}"
        quote = self._quote
        if quote is None or mid_price(quote.bid_price, quote.ask_price) is None:
            return Abort.NO_QUOTE, "the perpetual's quote is absent, one-sided or crossed"
        bid, ask = float(quote.bid_price), float(quote.ask_price)
        spread_bps = (ask - bid) / ((ask + bid) / 2) * 10_000
        if spread_bps > rules.max_spread_bps:
            return Abort.SPREAD_TOO_WIDE, f"{spread_bps:.3f} > {rules.max_spread_bps} bps"
        before = self._flow.measure(trip.tripped_ns - rules.before_ms * NS_PER_MS, trip.tripped_ns, trip.side)
        window_ns = rules.before_ms * NS_PER_MS + until_ns - trip.tripped_ns
        score = score_setup(trip.side, before, after, window_ns, self._spot, spread_bps, rules)
        return Measured(quote, before, after, spread_bps, score)

    def _entry(self, trip: Trip, measured: Measured) -> IntentDraft | None:
        rules, quote, score = self.parameters, measured.quote, measured.score
        # Things may have changed since the trip: a fill, a posture, midnight.
        obstacle = self._obstacle(trip.side, self._now_ns)
        if obstacle is not None:
            self._abort(trip, *obstacle)
            return None
        assert self._instrument is not None
        reference = quote.ask_price if trip.side is Side.BUY else quote.bid_price
        prices = entry_prices(trip.side, reference, self._instrument.tick_size, rules)
        if prices is None:
            self._abort(trip, Abort.UNPRICEABLE, f"at {reference} with tick {self._instrument.tick_size}")
            return None
        order_type, time_in_force = order_kind(rules)
        draft = IntentDraft(
            reference=self._next_reference(),
            setup=BREAKOUT_SETUP,
            symbol=rules.perp_symbol,
            side=trip.side,
            action=Action.OPEN,
            order_type=order_type,
            time_in_force=time_in_force,
            reference_price=reference,
            event_time_ns=self._now_ns,
            ttl_ns=rules.ttl_ms * NS_PER_MS,
            limit_price=prices.limit,
            stop_price=prices.stop,
            target_price=prices.target,
            setup_score=round(score.total, 4),
            volatility=self._perp.volatility(rules.hold_ms * NS_PER_MS),
            timeframe_ns=rules.hold_ms * NS_PER_MS,
            evidence={
                "level": f"{trip.level.price:.10g}",
                "level_touches": str(trip.level.touches),
                "level_age_ms": str(trip.level.age_bars * rules.bar_ms),
                "trip_price": f"{trip.price:.10g}",
                "spot_imbalance_before": f"{measured.before.imbalance:.3f}",
                "spot_imbalance_after": f"{measured.after.imbalance:.3f}",
                "spot_takers_after": str(measured.after.takers),
                "spot_burst_ratio": f"{score.burst_ratio:.2f}",
                "spread_bps": f"{measured.spread_bps:.3f}",
                "confirmed_after_ms": str((self._now_ns - trip.tripped_ns) // NS_PER_MS),
                "score_imbalance": f"{score.imbalance:.3f}",
                "score_burst": f"{score.burst:.3f}",
                "score_spread": f"{score.spread:.3f}",
                "score_alignment": f"{score.alignment:.3f}",
            },
        )
        self._own.entry_sent(draft.reference, self._now_ns)
        self._cooled_ns[trip.side] = self._now_ns + rules.cooldown_ms * NS_PER_MS
        self._counts["confirmation", trip.side.name.lower()] += 1
        self._counts["draft", BREAKOUT_SETUP] += 1
        self._last_outcome = self._describe(trip, "confirmed", f"score {draft.setup_score}")
        return draft

    def _exit(self, holding: Holding, now_ns: int) -> IntentDraft:
        """Close the whole share: Brain checks it against the real holding."""
        side = Side.SELL if holding.quantity > ZERO else Side.BUY
        quote = self._quote
        reference = ZERO
        if quote is not None:
            reference = quote.bid_price if side is Side.SELL else quote.ask_price
        held_ms = (now_ns - holding.opened_ns) // NS_PER_MS
        draft = IntentDraft(
            reference=self._next_reference(),
            setup=TIME_EXIT_SETUP,
            symbol=holding.symbol,
            side=side,
            action=Action.CLOSE,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            # Without a quote (just restarted) the entry price stands in: an exit is never held back for a price.
            reference_price=reference if reference > ZERO else holding.average_entry_price,
            event_time_ns=now_ns,
            ttl_ns=self.parameters.ttl_ms * NS_PER_MS,
            quantity=abs(holding.quantity),
            evidence={"held_ms": str(held_ms), "hold_ms": str(self.parameters.hold_ms)},
        )
        self._own.exit_sent(now_ns)
        self._counts["draft", TIME_EXIT_SETUP] += 1
        return draft

    def _next_reference(self) -> int:
        self._reference += 1
        return self._reference

    def _abort(self, trip: Trip, reason: Abort, message: str) -> None:
        self._counts["abort", reason.value] += 1
        self._last_outcome = self._describe(trip, reason.value, message)

    def _describe(self, trip: Trip, outcome: str, message: str) -> dict[str, object]:
        return {
            "outcome": outcome,
            "message": message,
            "side": trip.side.name,
            "level": trip.level.price,
            "trip_price": trip.price,
            "tripped_ns": trip.tripped_ns,
            "touches": trip.level.touches,
        }
