"""How often, and why, a 200 USDT account under ``micro`` stops trading: paths without drift, and with a real edge.

Run: ``python bench/equity_paths.py [PATHS [SETUPS]]`` (default 1000 of each kind, 400 long). Each path is a sequence
of setups, one an hour, on Brain's own guards, risk level, allocation and budgets. A setup ends at its stop or its
target. Without drift the target is reached with the probability stop / (stop + target); with an edge, with so much
more that the expected result before costs is a fraction of R. Nothing is to reach here: the table is for people who
choose a policy.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import yaml

from titan.domain.budgets import Budget
from titan.domain.enums import Action, OrderType, Posture, Side, TimeInForce
from titan.domain.equity import Equity, Peak
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.intents import Intent
from titan.domain.numbers import BPS
from titan.domain.policy import parse_rules
from titan.domain.policy_rules import PolicyRules
from titan.domain.positions import RoundTrip
from titan.domain.posture import PostureState
from titan.domain.truth import TruthSnapshot
from titan.risk.allocation import AllocationState
from titan.risk.controller import RiskController
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.performance import CapitalState
from titan.risk.risk_level import RiskLevelState
from titan.risk.state import RiskState
from titan.risk.state_updater import StateUpdater

PATHS = 1_000
SETUPS = 400
PERIOD_NS = 3_600_000_000_000
STOP_BPS, TARGET_BPS, SCORE = 45, 135, 0.9
EDGE_R = 0.35
# So many refusals in a row, and the account has stopped by itself: it is a week of setups.
REFUSALS = 24 * 7
START_EQUITY = Decimal(200)
PERP, PHASE, HASH = "BTC/USDT:USDT", "scavenger", "sha256:"
BID, ASK = Decimal("61800"), Decimal("61800.1")
START_NS = 1_764_547_200_000_000_000


class Latch:
    """A latch in memory that starts armed."""

    def __init__(self) -> None:
        self.posture, self.never_set, self.by, self.reason = Posture.ARMED, False, "bench", ""

    def lower(self, posture: Posture, by: str, reason: str) -> str:
        """Lower it."""
        self.posture, self.by, self.reason = min(self.posture, posture), by, reason
        return ""


class Listener:
    """Keeps the reason of an emergency and counts budgets; the rest is of no interest here."""

    def __init__(self) -> None:
        self.emergency = ""
        self.modifiers: Counter[str] = Counter()

    def on_emergency(self, reason: str) -> None:
        """Keep it."""
        self.emergency = reason

    def on_level_state(self, state: RiskLevelState, before: RiskLevelState) -> None:
        """Ignore it."""

    def on_allocation_state(self, state: AllocationState) -> None:
        """Ignore it."""

    def on_capital_state(self, state: CapitalState) -> None:
        """Ignore it."""

    def on_quality(self, entries: tuple[float | None, ...]) -> None:
        """Ignore it."""

    def on_posture(self, state: PostureState) -> None:
        """Ignore it."""

    def on_budget(self, budget: Budget) -> None:
        """Count it by its modifier."""
        self.modifiers[f"x {budget.modifier}"] += 1

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        """Ignore it."""


class Account:
    """One account on its path."""

    def __init__(self, rules: PolicyRules, win: float, chance: random.Random, setups: int) -> None:
        limits = Limits(rules, HASH, RiskParameters(), "paper")
        self.state = RiskState(limits, PAPER_INSTRUMENTS.values(), (PHASE,))
        self.state.truth = TruthSnapshot(known=True, score=100)
        self.state.reconciled = self.state.execution_connected = True
        self.state.execution_hash = HASH
        phase = self.state.phases[PHASE]
        phase.policy_hash, phase.connected = HASH, True
        self.listener = Listener()
        self.controller = RiskController(self.state, Latch(), Posture.ARMED, 1, self.listener)
        self.updater = StateUpdater(self.state)
        self.decisions = IntentDecisions(RiskEngine(limits, 1), self.state, lambda _state: None)
        self.peak, self.equity, self.now_ns = Peak(), START_EQUITY, START_NS
        self.win, self.chance = win, chance
        self.reasons: Counter[str] = Counter()
        self.trades, self.setups = 0, setups

    def observe(self) -> None:
        """Take the account's equity in, as two prints would bring it."""
        self.peak = self.peak.observed(self.equity, self.now_ns)
        for _ in range(2):
            self.state.equity = Equity(
                known=True,
                equity=self.equity,
                day_start_equity=self.peak.day_start_equity,
                high_water_mark=self.peak.high_water_mark,
                drawdown=self.peak.drawdown(self.equity),
                net_deposits=START_EQUITY,
                market_time_ns=self.now_ns,
            )
            self.controller.evaluate(self.now_ns)
            self.now_ns += 2_000_000_000

    def run(self) -> str:
        """Let the setups of the path come, and return why it ended."""
        refused = 0
        for number in range(self.setups):
            self.now_ns += PERIOD_NS
            self.observe()
            self.state.symbols[PERP].quote(BID, ASK, self.now_ns)
            if self.listener.emergency:
                return f"EMERGENCY: {cause(self.listener.emergency)}"
            decision = self.decisions.decide(self.setup(number), PHASE, self.now_ns)
            if not decision.approved:
                self.reasons[decision.reason.name] += 1
                refused += 1
                if refused >= REFUSALS:
                    return f"refused for a week: {self.reasons.most_common(1)[0][0]}"
                continue
            refused = 0
            self.finish(number, decision.quantity)
        return "still trading"

    def setup(self, number: int) -> Intent:
        """Make the next setup, a purchase."""
        return Intent(
            intent_id=f"i{number}",
            phase_id=PHASE,
            setup="bench",
            symbol=PERP,
            side=Side.BUY,
            action=Action.OPEN,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            reference_price=ASK,
            event_time_ns=self.now_ns,
            ttl_ns=1_000_000_000,
            policy_hash=HASH,
            stop_price=price_at(-STOP_BPS),
            target_price=price_at(TARGET_BPS),
            setup_score=SCORE,
            volatility=0.001,
            timeframe_ns=PERIOD_NS,
        )

    def finish(self, number: int, quantity: Decimal) -> None:
        """Fill the trade, and end it at its stop or its target."""
        self.trades += 1
        exit_price = price_at(TARGET_BPS if self.chance.random() < self.win else -STOP_BPS)
        fees = quantity * (ASK + exit_price) * PAPER_INSTRUMENTS[PERP].taker_fee_bps * BPS
        gain = quantity * (exit_price - ASK)
        self.equity += gain - fees
        trip = RoundTrip(
            intent_id=f"i{number}",
            phase_id=PHASE,
            setup="bench",
            symbol=PERP,
            side=Side.BUY,
            quantity=quantity,
            entry_price=ASK,
            exit_price=exit_price,
            realized_pnl=gain,
            fees=fees,
            opened_ns=self.now_ns,
            closed_ns=self.now_ns + 1,
            risk=quantity * (ASK - price_at(-STOP_BPS)),
        )
        self.updater.on_trip(trip)


def price_at(bps: int) -> Decimal:
    """Return the price so many basis points above the entry, on the tick."""
    return (ASK * (1 + bps * BPS)).quantize(Decimal("0.1"))


def cause(reason: str) -> str:
    """Name the loss limit of an emergency."""
    if "floor" in reason:
        return "equity floor"
    numbers = dict(part.split("=", 1) for part in reason.split(", ", 1))
    loss, _, limit = numbers["daily_loss"].partition(" of ")
    return "day's loss" if float(loss) >= float(limit) else "drawdown"


def main() -> int:
    paths = int(sys.argv[1]) if len(sys.argv) > 1 else PATHS
    setups = int(sys.argv[2]) if len(sys.argv) == 3 else SETUPS
    document = yaml.safe_load((Path(__file__).parents[1] / "policies" / "micro.yaml").read_text())
    rules = parse_rules(document["spec"]["rules"])
    fair = STOP_BPS / (STOP_BPS + TARGET_BPS)
    edge = EDGE_R / (1 + TARGET_BPS / STOP_BPS)
    for name, win in (("without drift", fair), (f"edge of {EDGE_R} R", fair + edge)):
        start_s, ends, trades, last = time.perf_counter(), Counter[str](), 0, []
        reasons: Counter[str] = Counter()
        modifiers: Counter[str] = Counter()
        for seed in range(paths):
            account = Account(rules, win, random.Random(seed), setups)
            ends[account.run()] += 1
            trades += account.trades
            reasons += account.reasons
            modifiers += account.listener.modifiers
            last.append(account.equity)
        last.sort()
        print(
            f"{name}: {paths} paths of {setups} setups, target reached in {win:.1%}, {trades / paths:.0f} trades each"
        )
        print(f"  equity at the end: median {last[len(last) // 2]:.0f}, 5 % {last[len(last) // 20]:.0f} USDT")
        for end, count in ends.most_common():
            print(f"  {count / paths:6.1%}  {end}")
        scales = ", ".join(f"{one} {count / modifiers.total():.1%}" for one, count in modifiers.most_common())
        print(f"  Sharpe modifier of the budgets: {scales}")
        refusals = ", ".join(f"{reason} {count / paths:.0f}" for reason, count in reasons.most_common(6))
        print(f"  refusals a path: {refusals or 'none'} ({time.perf_counter() - start_s:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
