"""Time all guards for one intent in one process: p50 and p99, with the explain record and the message beside.

Run: ``python bench/guards.py``. To reach (docs, quality): guards p50 < 15 us, p99 < 50 us.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns

import yaml

from titan.domain.budgets import Budget
from titan.domain.enums import Action, BudgetState, OrderType, Posture, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.intents import Intent
from titan.domain.policy import parse_rules
from titan.domain.truth import TruthSnapshot
from titan.risk.engine import RiskEngine
from titan.risk.evaluation import Evaluation
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.state import RiskState
from titan.wire.brain import decision_to_wire

ROUNDS = 20_000
HASH = "sha256:" + "0" * 64
NOW = 1_723_100_000_000_000_000
PERP = "BTC/USDT:USDT"


def percentiles(durations: list[int]) -> tuple[float, float]:
    """Compute p50 and p99, in microseconds."""
    ordered = sorted(durations)
    return ordered[len(ordered) // 2] / 1e3, ordered[len(ordered) * 99 // 100] / 1e3


def measure(call: Callable[[], object]) -> tuple[float, float]:
    for _ in range(2_000):
        call()
    gc.collect()
    gc.freeze()
    durations = []
    for _ in range(ROUNDS):
        start = perf_counter_ns()
        call()
        durations.append(perf_counter_ns() - start)
    return percentiles(durations)


def scene() -> tuple[RiskEngine, RiskState, Intent]:
    """Make an armed risk state at equity 200 and an intent that passes every guard."""
    document = yaml.safe_load((Path(__file__).parents[1] / "policies" / "demo.yaml").read_text())
    limits = Limits(parse_rules(document["spec"]["rules"]), HASH, RiskParameters(), "paper")
    risk_state = RiskState(limits, PAPER_INSTRUMENTS.values(), ("scavenger",))
    risk_state.equity = Equity(known=True, equity=Decimal(200), day_start_equity=Decimal(200), market_time_ns=NOW)
    risk_state.truth = TruthSnapshot(known=True, score=100)
    risk_state.reconciled = risk_state.execution_connected = True
    risk_state.execution_hash = HASH
    risk_state.posture = Posture.ARMED
    risk_state.symbols[PERP].quote(Decimal("61234.5"), Decimal("61234.6"), NOW - 40_000_000)
    phase = risk_state.phases["scavenger"]
    phase.policy_hash = HASH
    phase.budget = Budget(
        budget_id="b1",
        phase_id="scavenger",
        state=BudgetState.ACTIVE,
        max_notional=Decimal(2_000),
        max_leverage=Decimal(10),
        max_drawdown=Decimal(4),
        orders_per_minute=30,
        reason="",
        expires_at_ns=NOW + 10_000_000_000,
        allocation=Decimal(200),
        weight=Decimal(1),
    )
    risk_state.refresh()
    intent = Intent(
        intent_id="018f0000-0000-7000-8000-000000000001",
        phase_id="scavenger",
        setup="breakout",
        symbol=PERP,
        side=Side.BUY,
        action=Action.OPEN,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        reference_price=Decimal("61234.6"),
        event_time_ns=NOW,
        ttl_ns=5_000_000_000,
        policy_hash=HASH,
        stop_price=Decimal("61112.1"),
        target_price=Decimal("61540.8"),
        setup_score=0.8,
        volatility=0.001,
        timeframe_ns=60_000_000_000,
        hops=(("marketdata", 200_000), ("phase", 90_000)),
    )
    return RiskEngine(limits, 1), risk_state, intent


def main() -> int:
    engine, risk_state, intent = scene()
    symbol, phase = risk_state.symbols[PERP], risk_state.phases["scavenger"]
    decision = engine.decide(intent, risk_state, NOW)
    if not decision.approved:
        print(decision.message, file=sys.stderr)
        return 1
    rows = {
        "guards": measure(lambda: engine.assess(Evaluation(intent, risk_state, phase, symbol, NOW, False))),
        "guards and explain record": measure(lambda: engine.decide(intent, risk_state, NOW)),
        "decision as message": measure(lambda: decision_to_wire(decision)),
        "sums refreshed": measure(risk_state.refresh),
    }
    if "--json" in sys.argv:
        print(json.dumps({name: {"p50_us": p50, "p99_us": p99} for name, (p50, p99) in rows.items()}))
    else:
        for name, (p50, p99) in rows.items():
            print(f"{name:28} p50 {p50:8.1f} us   p99 {p99:8.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
