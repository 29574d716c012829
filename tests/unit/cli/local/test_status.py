"""Lines of ``titan status``: every number has its unit, and unknown values are shown as unknown."""

from __future__ import annotations

from titan.cli.local.status import StackSnapshot, summary
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o


def lines(snapshot: StackSnapshot) -> dict[str, str]:
    return {line[:10].strip(): line[10:] for line in summary(snapshot)}


def test_every_number_explains_itself() -> None:
    brain = b.GetBrainResponse(
        posture=b.PostureState(in_force=c.POSTURE_ARMED, risk_level=c.RISK_LEVEL_NORMAL, by="anna"),
        truth=o.TruthSnapshot(known=True, score=100),
        equity=o.Equity(known=True, equity="199.876", realized_pnl="0", fees="0.1235", drawdown="0.0006"),
    )
    granted = b.Budget(
        state=b.BUDGET_STATE_ACTIVE,
        allocation="199.876",
        modifier="0.5",
        modifier_reason="psr=0.04 of 30 days, 41 trades",
    )
    brain.phases.extend([b.PhaseState(phase_id="scavenger", budget=granted), b.PhaseState(phase_id="hunter")])
    brain.not_enforced.extend(["venueErrorsDefensive", "onVenueFailure"])
    execution = e.GetExecutionResponse(orders_sent=3, orders_filled=1, working_orders=2, fills=1, open_positions=1)
    market = m.GetMarketResponse(label="SIMULATED MARKET", market_time_ns=1_723_161_255_123_456_789, events=6064)
    assert lines(StackSnapshot(brain, execution, market, {}, {})) == {
        "market": "SIMULATED MARKET, 08-08 23:54:15.123 UTC, 6064 events",
        "posture": "ARMED (set by anna), paper, risk level NORMAL, truth score 100 of 100",
        "policy": "not enforced: venueErrorsDefensive, onVenueFailure",
        "equity": "199.88 USDT, realized 0 USDT before fees, fees 0.1235 USDT, drawdown 0.06 %",
        "budgets": "scavenger ACTIVE, 199.88 USDT, sizes x 0.5 (psr=0.04 of 30 days, 41 trades)",
        "orders": "3 sent, 1 filled, 0 rejected, 2 working; 1 fill, 0 round trips, 1 open position",
        "decision": "none since brain started; `titan explain` shows earlier ones",
    }


def test_an_old_equity_shows_its_age_and_that_of_its_prices() -> None:
    second = 1_000_000_000
    equity = o.Equity(known=True, equity="200", realized_pnl="0", fees="0", drawdown="0", oldest_mark_ns=87 * second)
    brain = b.GetBrainResponse(equity=equity, equity_as_of_ns=88 * second, market_time_ns=100 * second)
    shown = lines(StackSnapshot(brain, None, None, {}, {}))["equity"]
    assert shown.startswith("200 USDT, 12.0 s old, prices 13.0 s old, realized 0 USDT")
    brain.equity.CopyFrom(o.Equity(known=False, reason="no price"))
    assert lines(StackSnapshot(brain, None, None, {}, {}))["equity"] == "unknown: no price, 12.0 s old"
    brain.equity_as_of_ns = 99 * second
    assert lines(StackSnapshot(brain, None, None, {}, {}))["equity"] == "unknown: no price"


def test_unknown_values_are_no_numbers() -> None:
    shown = lines(StackSnapshot(b.GetBrainResponse(), None, None, {}, {}))
    assert shown["policy"] == "every rule is enforced"
    assert shown["budgets"] == "none granted yet"
    assert shown["posture"].endswith("truth score unknown")
    assert shown["equity"] == "unknown: no reason given"
    assert set(lines(StackSnapshot(None, None, None, {}, {})).values()) == {"unknown"}
