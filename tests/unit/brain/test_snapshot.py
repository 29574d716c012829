"""The three renderings of one snapshot: ``/status``, the gauges and ``GetBrain``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict

from support.risk.scene import HASH, NOW, PERP, budget, equity
from titan.brain.gauges import BrainGauges
from titan.brain.queries import snapshot_to_wire
from titan.brain.snapshot import BrainSnapshot, MarketSnapshot, PhaseSnapshot
from titan.brain.status import status_page
from titan.domain.enums import Posture, RiskLevel
from titan.domain.equity import Equity
from titan.domain.positions import PhaseShare, Position
from titan.domain.posture import PostureState
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot
from titan.v1 import brain_pb2 as b

POSTURE = PostureState(
    in_force=Posture.ARMED,
    ceiling=Posture.ARMED,
    latch=Posture.ARMED,
    risk_level=RiskLevel.CAUTIOUS,
    reason="latch ARMED by ana: a test",
    by="ana",
    policy_hash=HASH,
    term=3,
    latch_never_set=False,
)
SCAVENGER = PhaseSnapshot(
    phase_id="scavenger",
    connected=True,
    policy_hash=HASH,
    intents=5,
    approved=2,
    paused_until_ns=NOW + 1,
    used_notional=Decimal("612.346"),
    budget=budget(modifier=Decimal("0.5"), modifier_reason="psr=0.04 of 30 days, 41 trades"),
    budget_expired=False,
)
HUNTER = PhaseSnapshot(
    phase_id="hunter",
    connected=False,
    policy_hash="",
    intents=0,
    approved=0,
    paused_until_ns=0,
    used_notional=Decimal(0),
    budget=None,
    budget_expired=False,
)
SHARE = PhaseShare(phase_id="scavenger", quantity=Decimal("0.010"), average_entry_price=Decimal(61000), intent_id="i")
POSITION = Position(
    symbol=PERP,
    quantity=Decimal("0.010"),
    average_entry_price=Decimal(61000),
    mark_price=Decimal("61234.55"),
    unrealized_pnl=Decimal("2.3455"),
    stop_price=Decimal("60800"),
    opened_ns=NOW,
    shares=(SHARE,),
)
FULL = BrainSnapshot(
    market=MarketSnapshot(
        label="SIMULATED MARKET", connected=True, lockstep=False, step=7, market_time_ns=NOW, ended=False
    ),
    mode="paper",
    policy_hash=HASH,
    term=3,
    posture=POSTURE,
    equity=equity("199.5", drawdown=Decimal("0.0025"), fees=Decimal("0.3"), net_deposits=Decimal(200)),
    equity_as_of_ns=NOW - 1_500_000_000,
    truth=TruthSnapshot(known=True, score=98, unresolved=1),
    execution_connected=True,
    execution_policy_hash=HASH,
    unanswered=1,
    gross_notional=Decimal("612.3460"),
    worst_case=Decimal("1.837"),
    entries_in_flight=1,
    exits_in_flight=0,
    phases=(SCAVENGER, HUNTER),
    positions=(POSITION,),
    intents=5,
    decisions=((Reason.OK.value, 2), (Reason.SCORE_TOO_LOW.value, 3)),
    last_decision=b.Decision(intent_id="i", approved=True, message="OK"),
    decisions_unsaved=4,
    database_problem="database: away",
    not_enforced=("onVenueFailure",),
)
UNKNOWN: dict[str, Any] = {
    "market": MarketSnapshot(label="", connected=False, lockstep=False, step=-1, market_time_ns=0, ended=False),
    "equity": Equity(known=False, reason="not reported"),
    "equity_as_of_ns": 0,
    "truth": TruthSnapshot(known=False),
    "execution_connected": False,
    "execution_policy_hash": "",
    "positions": (),
    "last_decision": None,
    "database_problem": "",
}


def gauges(snapshot: BrainSnapshot) -> dict[str, float]:
    families = BrainGauges(lambda: snapshot).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_status_shows_every_field() -> None:
    assert status_page(FULL) == {
        "market": {
            "label": "SIMULATED MARKET",
            "connected": True,
            "lockstep": False,
            "step": 7,
            "market_time_ns": NOW,
            "ended": False,
        },
        "mode": "paper",
        "policy_hash": HASH,
        "not_enforced": ["onVenueFailure"],
        "term": 3,
        "posture": {
            "in_force": "ARMED",
            "reason": "latch ARMED by ana: a test",
            "ceiling": "ARMED",
            "latch": "ARMED",
            "latch_never_set": False,
            "risk_level": "CAUTIOUS",
        },
        "equity": {
            "equity": "199.5",
            "confirmed_equity": "199.5",
            "oldest_price_ns": None,
            "net_deposits": "200",
            "realized_pnl": "0",
            "unrealized_pnl": "0",
            "fees": "0.3",
            "drawdown": "0.0025",
        },
        "equity_age_ms": 1500,
        "truth": {"score": 98, "unresolved": 1},
        "execution": {"connected": True, "policy_hash": HASH, "unanswered": 1},
        "exposure": {
            "gross_notional": "612.346",
            "reserved_worst_case": "1.837",
            "entries_in_flight": 1,
            "exits_in_flight": 0,
        },
        "phases": {
            "scavenger": {
                "connected": True,
                "policy_hash": HASH,
                "intents": 5,
                "approved": 2,
                "budget": {
                    "state": "ACTIVE",
                    "reason": "",
                    "max_notional": "2000",
                    "used_notional": "612.346",
                    "expired": False,
                    "modifier": "0.5",
                    "modifier_reason": "psr=0.04 of 30 days, 41 trades",
                },
            },
            "hunter": {"connected": False, "policy_hash": None, "intents": 0, "approved": 0, "budget": None},
        },
        "positions": {PERP: "0.01"},
        "intents": 5,
        "decisions": {"OK": 2, "SCORE_TOO_LOW": 3},
        "last_decision": {"intent_id": "i", "approved": True, "message": "OK"},
        "decisions_unsaved": 4,
        "database": "database: away",
    }


def test_status_shows_unknown_as_null() -> None:
    page = status_page(msgspec.structs.replace(FULL, **UNKNOWN))
    assert page["market"] == {
        "label": None,
        "connected": False,
        "lockstep": False,
        "step": -1,
        "market_time_ns": None,
        "ended": False,
    }
    assert (page["equity"], page["truth"], page["last_decision"]) == (None, None, None)
    assert page["equity_age_ms"] is None
    assert page["execution"] == {"connected": False, "policy_hash": None, "unanswered": 1}
    assert (page["positions"], page["database"]) == ({}, "ok")


def test_gauges_have_the_snapshot_s_values() -> None:
    assert gauges(FULL) == {
        "titan_brain_posture": 4.0,
        "titan_brain_risk_level": 2.0,
        "titan_brain_execution_connected": 1.0,
        "titan_brain_orders_unanswered": 1.0,
        "titan_brain_decisions_unsaved": 4.0,
        "titan_brain_gross_notional": 612.346,
        "titan_brain_worst_case": 1.837,
        "titan_brain_equity": 199.5,
        "titan_brain_drawdown_ratio": 0.0025,
        "titan_brain_truth_score": 98.0,
    }


def test_gauges_of_unknown_values_are_absent() -> None:
    known = gauges(FULL)
    unknown = gauges(msgspec.structs.replace(FULL, **UNKNOWN))
    assert known.keys() - unknown.keys() == {
        "titan_brain_equity",
        "titan_brain_drawdown_ratio",
        "titan_brain_truth_score",
    }


def test_the_wire_form_shows_every_field() -> None:
    message = MessageToDict(snapshot_to_wire(FULL), preserving_proto_field_name=True)
    phases = message.pop("phases")
    assert [phase["phase_id"] for phase in phases] == ["scavenger", "hunter"]
    assert phases[0]["weight"] == "1"
    assert (phases[0]["intents"], phases[0]["approved"], phases[0]["paused_until_ns"]) == ("5", "2", str(NOW + 1))
    assert phases[0]["budget"]["budget_id"] == "b1"
    assert "budget" not in phases[1]
    (position,) = message.pop("positions")
    assert (position["symbol"], position["quantity"], position["mark_price"]) == (PERP, "0.01", "61234.55")
    assert position["shares"][0]["phase_id"] == "scavenger"
    assert message.pop("equity")["equity"] == "199.5"
    assert message.pop("truth")["score"] == 98
    assert message.pop("posture")["in_force"] == "POSTURE_ARMED"
    assert message == {
        "execution_connected": True,
        "execution_policy_hash": HASH,
        "intents": "5",
        "decisions": [{"reason": "REASON_OK", "count": "2"}, {"reason": "REASON_SCORE_TOO_LOW", "count": "3"}],
        "last_decision": {"intent_id": "i", "approved": True, "message": "OK"},
        "market_time_ns": str(NOW),
        "equity_as_of_ns": str(NOW - 1_500_000_000),
        "market_label": "SIMULATED MARKET",
        "policy_hash": HASH,
        "mode": "paper",
        "decisions_unsaved": "4",
        "database_problem": "database: away",
        "not_enforced": ["onVenueFailure"],
    }


def test_the_wire_form_leaves_unknown_out() -> None:
    message = snapshot_to_wire(msgspec.structs.replace(FULL, **UNKNOWN))
    assert not message.equity.known
    assert not message.truth.known
    assert not message.HasField("last_decision")
    assert (message.market_label, message.market_time_ns, message.database_problem) == ("", 0, "")
