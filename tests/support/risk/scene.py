"""An armed risk state at equity 200 under the demo policy, and an intent that passes every guard."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import yaml

from support.stack.local_processes import REPOSITORY
from titan.domain.budgets import Budget
from titan.domain.decisions import Decision
from titan.domain.enums import Action, BudgetState, OrderRole, OrderState, OrderType, Posture, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.intents import Intent
from titan.domain.lots import Lot
from titan.domain.orders import Order
from titan.domain.policy import parse_rules
from titan.domain.policy_rules import PolicyRules
from titan.domain.positions import Holding, trade
from titan.domain.truth import TruthSnapshot
from titan.risk.engine import RiskEngine
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.reservations import Reservation
from titan.risk.state import RiskState

HASH = "sha256:" + "a" * 64
OTHER_HASH = "sha256:" + "b" * 64
NOW = 1_723_100_000_000_000_000
PERP, SPOT, ETH = "BTC/USDT:USDT", "BTC/USDT", "ETH/USDT:USDT"
SECOND = 1_000_000_000


def rules(name: str = "demo", **changed: Any) -> PolicyRules:
    document = yaml.safe_load((REPOSITORY / "policies" / f"{name}.yaml").read_text())
    return msgspec.structs.replace(parse_rules(document["spec"]["rules"]), **changed)


def budget(**changed: Any) -> Budget:
    common: dict[str, Any] = {
        "budget_id": "b1",
        "phase_id": "scavenger",
        "state": BudgetState.ACTIVE,
        "max_notional": Decimal(2_000),
        "max_leverage": Decimal(10),
        "max_drawdown": Decimal(4),
        "orders_per_minute": 30,
        "reason": "",
        "expires_at_ns": NOW + 10 * SECOND,
        "allocation": Decimal(200),
        "weight": Decimal(1),
    }
    return Budget(**{**common, **changed})


def equity(amount: str = "200", **changed: Any) -> Equity:
    common: dict[str, Any] = {"known": True, "day_start_equity": Decimal(200), "market_time_ns": NOW}
    unconfirmed = Decimal(amount) - changed.pop("confirmed_equity", Decimal(amount))
    return Equity(**{**common, "equity": Decimal(amount), "unconfirmed": unconfirmed, **changed})


def risk_state(policy: PolicyRules | None = None, parameters: RiskParameters | None = None) -> RiskState:
    limits = Limits(policy or rules(), HASH, parameters or RiskParameters(), "paper")
    made = RiskState(limits, PAPER_INSTRUMENTS.values(), ("scavenger", "hunter"))
    made.equity = equity()
    made.truth = TruthSnapshot(known=True, score=100)
    made.reconciled = made.execution_connected = True
    made.execution_hash = HASH
    made.posture = Posture.ARMED
    made.symbols[PERP].quote(Decimal("61234.5"), Decimal("61234.6"), NOW - 40_000_000)
    made.symbols[SPOT].quote(Decimal("61230"), Decimal("61230.01"), NOW - 40_000_000)
    made.symbols[ETH].quote(Decimal("2500"), Decimal("2500.01"), NOW - 40_000_000)
    for phase in made.phases.values():
        phase.policy_hash = HASH
        phase.budget = budget(phase_id=phase.phase_id)
    made.refresh()
    return made


def intent(**changed: Any) -> Intent:
    common: dict[str, Any] = {
        "intent_id": "018f0000-0000-7000-8000-000000000001",
        "phase_id": "scavenger",
        "setup": "breakout",
        "symbol": PERP,
        "side": Side.BUY,
        "action": Action.OPEN,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.IOC,
        "reference_price": Decimal("61234.6"),
        "event_time_ns": NOW,
        "ttl_ns": 5 * SECOND,
        "policy_hash": HASH,
        "stop_price": Decimal("61112.1"),
        "target_price": Decimal("61540.8"),
        "setup_score": 0.8,
        "volatility": 0.001,
        "timeframe_ns": 60 * SECOND,
        "hops": (("marketdata", 200_000), ("phase", 90_000)),
    }
    return Intent(**{**common, **changed})


def close(quantity: str, side: Side = Side.SELL, **changed: Any) -> Intent:
    none = Decimal(0)
    return intent(
        action=Action.CLOSE, side=side, quantity=Decimal(quantity), stop_price=none, target_price=none, **changed
    )


def hold(
    made: RiskState, quantity: str, phase_id: str = "scavenger", symbol: str = PERP, stop: str = "61112.1"
) -> RiskState:
    """Add a phase's position, in signed base units."""
    mirror, signed, price = made.mirror, Decimal(quantity), made.symbols[symbol].mid
    positions, key = mirror.positions, (phase_id, symbol)
    positions.holdings[symbol], _ = trade(positions.holdings.get(symbol, Holding()), signed, price, NOW)
    positions.shares[key], _ = trade(positions.shares.get(key, Holding()), signed, price, NOW)
    lots = positions.lots.get(key, ())
    lot = Lot(
        intent_id=f"held-{phase_id}-{symbol}-{len(lots)}",
        phase_id=phase_id,
        symbol=symbol,
        quantity=signed,
        stop_price=Decimal(stop),
    )
    positions.lots[key] = (*lots, lot)
    if lot.stop_price:
        mirror.on_order(stop_order(lot))
    made.follow_account()
    made.refresh()
    return made


def stop_order(lot: Lot, **changed: Any) -> Order:
    """Make the working stop of a lot."""
    common: dict[str, Any] = {
        "client_order_id": f"stop-{lot.intent_id}",
        "intent_id": lot.intent_id,
        "phase_id": lot.phase_id,
        "order_role": OrderRole.STOP,
        "attempt": 1,
        "symbol": lot.symbol,
        "side": Side.SELL if lot.quantity > 0 else Side.BUY,
        "type": OrderType.STOP_MARKET,
        "time_in_force": TimeInForce.GTC,
        "quantity": abs(lot.quantity),
        "reduce_only": True,
        "policy_hash": HASH,
        "term": 1,
        "created_ns": NOW,
        "updated_ns": NOW,
        "trigger_price": lot.stop_price,
        "state": OrderState.ACKED,
    }
    return Order(**{**common, **changed})


def reserved(
    made: RiskState, notional: str, symbol: str = PERP, phase_id: str = "scavenger", **changed: Any
) -> RiskState:
    """Add an entry in flight of about ``notional`` quote units."""
    price = made.symbols[symbol].ask
    number = len(made.reservations.entries)
    common: dict[str, Any] = {"side": Side.BUY, "loss_fraction": Decimal("0.003")}
    made.reservations.entries[f"other-{number}"] = Reservation(
        intent_id=f"other-{number}",
        phase_id=phase_id,
        symbol=symbol,
        quantity=Decimal(notional) / price,
        price=price,
        **{**common, **changed},
    )
    made.refresh()
    return made


def decide(
    made: RiskState, requested: Intent | None = None, change: Callable[[RiskState], None] | None = None, **how: Any
) -> Decision:
    if change is not None:
        change(made)
    return RiskEngine(made.limits, 1).decide(requested or intent(), made, how.pop("now_ns", NOW), **how)
