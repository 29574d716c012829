"""Synthetic tapes of one perpetual and its spot: a range, and what happens at its edge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from titan.domain.enums import Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import MarketEvent, QuoteEvent, TradeEvent
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS, NS_PER_S
from titan.strategies.base import DecisionNote, Holding, IntentDraft, Permission
from titan.strategies.scavenger.parameters import ScavengerParameters
from titan.strategies.scavenger.strategy import Scavenger

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
S, MS = NS_PER_S, NS_PER_MS
# A whole second of a day that has hours to go.
T0 = 1_723_075_200 * S
FOREVER = Permission(opening_until_ns=1 << 62, closing=True, reason="")
TOP, BOTTOM = 60_010.0, 59_990.0


class Tape:
    """Events in the order in which they are added; times in milliseconds from ``T0``."""

    def __init__(self) -> None:
        self.events: list[MarketEvent] = []

    def _next(self, at_ms: int) -> tuple[int, int]:
        at_ns = T0 + at_ms * MS
        assert not self.events or at_ns >= self.events[-1].market_time_ns, "market time never goes back"
        return len(self.events) + 1, at_ns

    def trade(self, at_ms: int, symbol: str, price: float, side: Side = Side.BUY, quantity: str = "0.1") -> Tape:
        number, at_ns = self._next(at_ms)
        self.events.append(
            TradeEvent(number, symbol, at_ns, at_ns, str(number), Decimal(str(price)), Decimal(quantity), side)
        )
        return self

    def quote(self, at_ms: int, bid: float, ask: float, symbol: str = PERP) -> Tape:
        number, at_ns = self._next(at_ms)
        one = Decimal(1)
        self.events.append(QuoteEvent(number, symbol, at_ns, at_ns, Decimal(str(bid)), one, Decimal(str(ask)), one))
        return self

    def range(self, from_s: int, to_s: int) -> Tape:
        """Whole seconds between bottom and top, both symbols, takers in balance."""
        for second in range(from_s, to_s):
            at_ms = second * 1_000
            edge = TOP if second % 2 else BOTTOM
            self.quote(at_ms, 59_999.9, 60_000.0)
            self.trade(at_ms + 100, PERP, edge).trade(at_ms + 200, SPOT, edge + 20, Side.BUY)
            self.trade(at_ms + 600, PERP, 60_000.0 + second % 3).trade(at_ms + 700, SPOT, 60_020.0, Side.SELL)
        return self

    def breakout(self, at_ms: int, side: Side = Side.BUY, spot_side: Side | None = None) -> Tape:
        """Spot's takers lean, the perpetual crosses, spot's takers go on."""
        spot_side = spot_side or side
        beyond = TOP + 5 if side is Side.BUY else BOTTOM - 5
        spot_beyond = beyond + 20
        self.trade(at_ms - 250, SPOT, spot_beyond, spot_side, "1")
        self.quote(at_ms - 1, beyond - 0.1, beyond)
        self.trade(at_ms, PERP, beyond, side)
        for step in range(1, 10):
            self.trade(at_ms + step * 50, SPOT, spot_beyond, spot_side, "1")
        return self.trade(at_ms + 500, PERP, beyond, side)

    def silence(self, from_ms: int, to_ms: int) -> Tape:
        """Quotes only, so that time goes on."""
        for at_ms in range(from_ms, to_ms, 100):
            self.quote(at_ms, 60_014.9, 60_015.0)
        return self


def scavenger(**parameters: object) -> Scavenger:
    """A strategy that may do everything and knows its instruments."""
    strategy = Scavenger(ScavengerParameters(**parameters))  # type: ignore[arg-type]
    strategy.on_instruments(list(PAPER_INSTRUMENTS.values()))
    strategy.permit(FOREVER)
    return strategy


def play(strategy: Scavenger, events: Iterable[MarketEvent]) -> list[IntentDraft]:
    """All drafts of these events."""
    return [draft for event in events for draft in strategy.on_event(event)]


def decide(strategy: Scavenger, draft: IntentDraft, approved: bool) -> None:
    strategy.on_decision(
        DecisionNote(
            reference=draft.reference,
            approved=approved,
            reason=Reason.OK if approved else Reason.SCORE_TOO_LOW,
            message="",
            quantity=Decimal("0.01") if approved else Decimal(0),
        )
    )


def holding(quantity: str, opened_ms: int, intent_id: str = "intent") -> Sequence[Holding]:
    return [
        Holding(
            symbol=PERP,
            quantity=Decimal(quantity),
            average_entry_price=Decimal("60015"),
            opened_ns=T0 + opened_ms * MS,
            intent_id=intent_id,
        )
    ]
