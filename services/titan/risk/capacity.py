"""What a policy can trade at an equity, and the order in which its loss limits bind. Source: domain.md section 2.

The numbers come from Brain's own guards: each is a decision on an intent that no stack has sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from titan.domain.budgets import Budget
from titan.domain.enums import Action, BudgetState, OrderType, Posture, RiskLevel, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.instruments import Instrument
from titan.domain.intents import Intent
from titan.domain.numbers import BPS, ONE, ZERO, ceil_to, floor_to
from titan.domain.policy_rules import PolicyRules
from titan.domain.truth import TruthSnapshot
from titan.risk.allocation import LOWEST_RANK, AllocationState, allocate
from titan.risk.engine import Assessment, RiskEngine
from titan.risk.evaluation import Evaluation
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.risk_level import daily_loss_limit, equity_floor
from titan.risk.state import RiskState

# The setup that is asked about: the best score, and a target of so many stops.
SCORE = 1.0
TARGET_STOPS = 3
# Stops that are asked about, basis points of price.
STOPS_BPS = (5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 150, 200, 250, 300, 400, 500)
# Equities below which the smallest one is searched, USDT.
_MOST_EQUITY = Decimal(1_000_000)
_EQUITY_STEP = Decimal(1)
_NOW_NS = 1_000_000_000_000_000_000
_HASH = "sha256:"


class Capacity(msgspec.Struct, frozen=True):
    """What one symbol can be traded with, at one equity and risk level.

    ``lots`` of the smallest order size that the instrument allows, at the largest size of any stop; 0: nothing. Stops
    in basis points of price. ``share`` of the setups that would pass is taken. ``smallest_equity`` in USDT from which
    anything can be traded; None where no equity is enough.
    """

    symbol: str
    level: RiskLevel
    lot_notional: Decimal
    lots: int
    smallest_stop_bps: int
    largest_stop_bps: int
    share: Decimal
    smallest_equity: Decimal | None
    reason: str

    @property
    def stopped(self) -> bool:
        """Whether nothing can be opened."""
        return not self.lots


class LossLimit(msgspec.Struct, frozen=True):
    """A limit with the loss, in USDT from the present equity, at which it binds."""

    loss: Decimal
    name: str
    effect: str


def capacities(
    rules: PolicyRules,
    equity: Decimal,
    instruments: Mapping[str, Instrument],
    prices: Mapping[str, Decimal],
    parameters: RiskParameters,
) -> Iterator[Capacity]:
    """Ask the guards for each symbol with a price, flat, at the levels that open: NORMAL and CAUTIOUS.

    Parameters
    ----------
    equity
        USDT; day start, peak and net deposits are the same.
    prices
        Quote units by symbol.
    """
    for symbol in rules.symbols:
        if symbol not in instruments or symbol not in prices:
            continue
        for level in (RiskLevel.NORMAL, RiskLevel.CAUTIOUS):
            desk = _Desk(rules, instruments[symbol], prices[symbol], level, parameters)
            yield desk.capacity(equity)


def loss_limits(rules: PolicyRules, equity: Decimal, parameters: RiskParameters) -> list[LossLimit]:
    """List every loss limit by the loss at which it binds, for an account that is flat at its peak and day start."""
    known = _equity(equity)
    day = daily_loss_limit(known, rules)
    phase = next(one for one in parameters.phases.values() if one.rank == LOWEST_RANK)
    name = next(name for name, one in parameters.phases.items() if one is phase)
    limits = [
        LossLimit(phase.daily_drawdown_reduce * equity, f"{name}'s day", "its orders a minute are throttled"),
        LossLimit(phase.daily_drawdown_halt * equity, f"{name}'s day", "it opens nothing until the next day"),
        LossLimit(parameters.daily_loss_cautious * day, "day's loss", "CAUTIOUS"),
        LossLimit(parameters.daily_loss_defensive * day, "day's loss", "DEFENSIVE"),
        LossLimit(day, "day's loss", "EMERGENCY"),
        LossLimit(rules.drawdown_caution * equity, "drawdownCaution", "CAUTIOUS"),
        LossLimit(rules.drawdown_defensive * equity, "drawdownDefensive", "DEFENSIVE"),
        LossLimit(rules.drawdown_emergency * equity, "drawdownEmergency", "EMERGENCY"),
        LossLimit(max(ZERO, equity - equity_floor(known, rules)), "equity floor", "EMERGENCY"),
    ]
    return sorted(limits, key=lambda limit: limit.loss)


def _equity(amount: Decimal) -> Equity:
    return Equity(
        known=True,
        equity=amount,
        day_start_equity=amount,
        high_water_mark=amount,
        net_deposits=amount,
        market_time_ns=_NOW_NS,
    )


class _Desk:
    """One symbol at one level, on which intents are tried at any equity."""

    def __init__(
        self,
        rules: PolicyRules,
        instrument: Instrument,
        price: Decimal,
        level: RiskLevel,
        parameters: RiskParameters,
    ) -> None:
        self._limits = Limits(rules, _HASH, parameters, "paper")
        # Only what passes by its own edge counts: an exploring lot is no capacity.
        self._limits.explorations_per_day = 0
        self._phase = next(name for name, one in parameters.phases.items() if one.rank == LOWEST_RANK)
        self._engine = RiskEngine(self._limits, term=0)
        self._instrument = instrument
        self._level = level
        state = RiskState(self._limits, (instrument,), (self._phase,))
        state.truth = TruthSnapshot(known=True, score=100)
        state.reconciled = state.execution_connected = True
        state.execution_hash = _HASH
        state.posture, state.risk_level = Posture.ARMED, level
        bid = floor_to(price, instrument.tick_size)
        state.symbols[instrument.symbol].quote(bid, bid + instrument.tick_size, _NOW_NS)
        state.phases[self._phase].policy_hash = _HASH
        self._state = state
        self._ask = bid + instrument.tick_size

    def capacity(self, equity: Decimal) -> Capacity:
        """Try every stop at ``equity``, and search the smallest equity at which one passes."""
        tried = self._try(equity)
        lot = self._lot_notional()
        passing = [(stop, one) for stop, one in tried if not one.rejected]
        factor = min((one.evaluation.scale for _, one in passing), default=ONE)
        lots = max((int(one.notional / lot) for _, one in passing), default=0)
        reason = "" if passing else self._engine.record(tried[-1][1]).message
        return Capacity(
            symbol=self._instrument.symbol,
            level=self._level,
            lot_notional=lot,
            lots=lots,
            smallest_stop_bps=passing[0][0] if passing else 0,
            largest_stop_bps=passing[-1][0] if passing else 0,
            share=factor if lots == 1 else ONE,
            smallest_equity=self._smallest_equity(),
            reason=reason,
        )

    def _smallest_equity(self) -> Decimal | None:
        low, high = ZERO, _MOST_EQUITY
        if not self._passes(high):
            return None
        while high - low > _EQUITY_STEP:
            middle = ((low + high) / 2).to_integral_value()
            if self._passes(middle):
                high = middle
            else:
                low = middle
        return high

    def _passes(self, equity: Decimal) -> bool:
        return any(not one.rejected for _, one in self._try(equity))

    def _lot_notional(self) -> Decimal:
        return self._evaluation(self._intent(STOPS_BPS[0])).least

    def _try(self, equity: Decimal) -> Sequence[tuple[int, Assessment]]:
        self._fund(equity)
        return [(stop, self._engine.assess(self._evaluation(self._intent(stop)))) for stop in STOPS_BPS]

    def _evaluation(self, intent: Intent) -> Evaluation:
        state = self._state
        symbol, phase = state.symbols[self._instrument.symbol], state.phases[self._phase]
        # One more setup than the accumulator waits for: what thinning takes in its turn counts as tradable.
        state.frequency.set_thinned(self._phase, self._instrument.symbol, ONE)
        return Evaluation(intent, state, phase, symbol, _NOW_NS, seen=False)

    def _fund(self, equity: Decimal) -> None:
        state, limits = self._state, self._limits
        known = _equity(equity)
        floor = equity_floor(known, limits.rules)
        allocation, _ = allocate(equity, floor, (self._phase,), AllocationState(), limits.parameters)
        weight = allocation.weights[self._phase]
        leverage = min(allocation.max_leverage, limits.max_account_leverage)
        state.equity = known
        state.phases[self._phase].budget = Budget(
            budget_id="",
            phase_id=self._phase,
            state=BudgetState.ACTIVE,
            max_notional=equity * weight * leverage,
            max_leverage=leverage,
            max_drawdown=limits.parameters.budget_drawdown * equity * weight,
            orders_per_minute=limits.parameters.orders_per_minute,
            reason="",
            expires_at_ns=_NOW_NS + 1,
            allocation=equity * weight,
            weight=weight,
        )
        state.refresh()

    def _intent(self, stop_bps: int) -> Intent:
        tick = self._instrument.tick_size
        distance = ceil_to(self._ask * stop_bps * BPS, tick)
        return Intent(
            intent_id="",
            phase_id=self._phase,
            setup="",
            symbol=self._instrument.symbol,
            side=Side.BUY,
            action=Action.OPEN,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            reference_price=self._ask,
            event_time_ns=_NOW_NS,
            ttl_ns=1,
            policy_hash=_HASH,
            stop_price=self._ask - distance,
            target_price=self._ask + TARGET_STOPS * distance,
            setup_score=SCORE,
            volatility=float(stop_bps * BPS) / (float(self._limits.rules.stop_volatility_multiple) or 1.0) / 2,
        )
