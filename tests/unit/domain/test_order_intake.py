"""Execution's intake rules: each check with its reason, and no check of openings for an order that reduces."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderType, PositionEffect, Posture, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Intake, Record, Refusal
from titan.domain.marks import Marks
from titan.domain.order_intake import IntakeState, OrderIntakeRules, first_result, is_kept, stale_term
from titan.domain.orders import Fill
from titan.domain.policy_hash import Policy, read_policy
from titan.domain.posture import PostureInputs
from titan.domain.reasons import Reason, Rejection

D = Decimal
PERP = "BTC/USDT:USDT"
NOW_NS = 1_723_100_000_000_000_000


@pytest.fixture(scope="module")
def policy() -> Policy:
    import yaml

    from support.stack.local_processes import REPOSITORY

    rules = yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())["spec"]["rules"]
    return read_policy(msgspec.json.encode({**rules, "symbols": [PERP, "ETH/USDT:USDT"]}))


def requested(policy: Policy, **fields: Any) -> Intake:
    """An opening market buy of 0.002, changed by ``fields``."""
    return Intake(
        **{
            "intent_id": "i1",
            "phase_id": "scavenger",
            "attempt": 1,
            "position_effect": PositionEffect.OPENING,
            "symbol": PERP,
            "side": Side.BUY,
            "order_type": OrderType.MARKET,
            "time_in_force": TimeInForce.IOC,
            "quantity": D("0.002"),
            "policy_hash": policy.hash,
            "term": 1,
            "event_time_ns": NOW_NS,
            "stop_price": D(59000),
            **fields,
        }
    )


def exit_of(policy: Policy, quantity: str, **fields: Any) -> Intake:
    return requested(
        policy,
        **{
            "intent_id": "x1",
            "side": Side.SELL,
            "position_effect": PositionEffect.REDUCING,
            "quantity": D(quantity),
            "stop_price": D(0),
            **fields,
        },
    )


def armed(**fields: Any) -> IntakeState:
    posture = PostureInputs(latch=Posture.ARMED, brain=Posture.ARMED, brain_silent=False, silence_s=5)
    return IntakeState(**{"now_ns": NOW_NS, "posture": posture, **fields})


class Scene:
    """The rules over an account with a price, and on request a long of 0.01."""

    def __init__(self, policy: Policy, mode: Any = "paper") -> None:
        self.policy = policy
        self.account = Account(PAPER_INSTRUMENTS)
        self.marks = Marks()
        self.marks.update(PERP, D(60000), D(60000), NOW_NS, "run", 1)
        self.rules = OrderIntakeRules(policy, mode, self.account, self.marks)

    def hold(self, quantity: str) -> None:
        change = self.account.apply(Record(requested(self.policy, intent_id="held", quantity=D(quantity)), NOW_NS))
        assert change.order is not None
        fill = Fill(
            trade_id="t1",
            client_order_id=change.order.client_order_id,
            intent_id="held",
            phase_id="scavenger",
            order_role=OrderRole.ENTRY,
            symbol=PERP,
            side=Side.BUY,
            quantity=D(quantity),
            price=D(60000),
            fee=D(0),
            fee_currency="USDT",
            maker=False,
            event_time_ns=NOW_NS,
            policy_hash=self.policy.hash,
        )
        self.account.apply(Record(fill, NOW_NS))


@pytest.fixture
def scene(policy: Policy) -> Scene:
    return Scene(policy)


def test_an_order_that_passes_is_the_fact_to_journal(scene: Scene) -> None:
    request = requested(scene.policy, order_type=OrderType.LIMIT, limit_price=D(60000))
    assert scene.rules.check(request, armed()) is request


LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET


@pytest.mark.parametrize(
    ("description", "side", "order_type", "time_in_force", "limit", "expected"),
    [
        ("a market buy", Side.BUY, MARKET, TimeInForce.IOC, "0", "60600"),
        ("a market sale", Side.SELL, MARKET, TimeInForce.IOC, "0", "59400"),
        ("a limit beyond the band", Side.BUY, LIMIT, TimeInForce.GTC, "60600.1", "60600"),
        ("a sale's limit beyond it", Side.SELL, LIMIT, TimeInForce.GTC, "59399.9", "59400"),
        ("a limit within it", Side.BUY, LIMIT, TimeInForce.GTC, "60599.9", "60599.9"),
        ("a limit that rests", Side.SELL, LIMIT, TimeInForce.GTC, "61000", "61000"),
        ("an order that never takes", Side.BUY, LIMIT, TimeInForce.POST_ONLY, "60600.1", "60600.1"),
    ],
)
def test_an_opening_order_has_a_price_band(
    scene: Scene,
    description: str,
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    limit: str,
    expected: str,
) -> None:
    """The demo policy's maxSlippage is 0.01, the mark 60,000."""
    fact = scene.rules.check(
        requested(
            scene.policy,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            limit_price=D(limit),
            stop_price=D(60_000 - 1_000 * side.sign),
        ),
        armed(),
    )
    assert isinstance(fact, Intake), fact
    assert (fact.order_type, fact.limit_price) == (OrderType.LIMIT, D(expected)), description
    assert fact.time_in_force is time_in_force


def posture(latch: Posture, brain: Posture | None, silent: bool = False) -> PostureInputs:
    return PostureInputs(latch=latch, brain=brain, brain_silent=silent, silence_s=5)


@pytest.mark.parametrize(
    ("description", "fields", "state", "reason", "detail"),
    [
        ("an unknown symbol", {"symbol": "DOGE/USDT"}, {}, Reason.UNKNOWN_SYMBOL, "'DOGE/USDT'"),
        ("another policy", {"policy_hash": "h"}, {}, Reason.POLICY_HASH_MISMATCH, "order=h, execution=sha256:"),
        ("no policy", {"policy_hash": ""}, {}, Reason.POLICY_HASH_MISMATCH, "order=none"),
        ("a Brain of another policy", {}, {"brain_policy_hash": "h"}, Reason.POLICY_HASH_MISMATCH, "brain=h"),
        (
            "reducing, with nothing to reduce",
            {"position_effect": PositionEffect.REDUCING},
            {},
            Reason.NOT_REDUCING,
            "side=BUY, quantity=0.002, can be reduced=0",
        ),
        (
            "a latch that is not armed",
            {},
            {"posture": posture(Posture.CLOSE_ONLY, Posture.ARMED)},
            Reason.POSTURE,
            "in force=CLOSE_ONLY, needed=ARMED, because latch CLOSE_ONLY by nobody: no reason",
        ),
        (
            "a Brain that reported HALTED",
            {},
            {"posture": posture(Posture.ARMED, Posture.HALTED)},
            Reason.POSTURE,
            "because Brain reported HALTED: no reason",
        ),
        (
            "a silent Brain",
            {},
            {"posture": posture(Posture.ARMED, Posture.ARMED, silent=True)},
            Reason.BRAIN_AWAY,
            "no message from Brain for more than 5 s",
        ),
        ("no clean reconciliation", {}, {"reconciled": False}, Reason.TRUTH_UNKNOWN, "is not finished"),
        ("a symbol off the policy", {"symbol": "SOL/USDT"}, {}, Reason.SYMBOL_NOT_ALLOWED, "SOL/USDT, allowed="),
        ("no stop", {"stop_price": D(0)}, {}, Reason.STOP_MISSING, "stop_price"),
        ("no price", {"symbol": "ETH/USDT:USDT"}, {}, Reason.PRICE_STALE, "no price of ETH/USDT:USDT yet"),
        ("an old price", {}, {"now_ns": NOW_NS + 3_600_000_000_000}, Reason.PRICE_STALE, "age_ms=3600000"),
        ("a stop above a buy", {"stop_price": D(60000)}, {}, Reason.INVALID_INTENT, "allowed is below the price 60000"),
        (
            "a stop below a sell",
            {"side": Side.SELL, "stop_price": D(60000)},
            {},
            Reason.INVALID_INTENT,
            "allowed is above the price 60000",
        ),
        (
            "a time to live that is over",
            {"event_time_ns": NOW_NS - 2_000_000, "ttl_ns": 1_000_000},
            {},
            Reason.EXPIRED,
            "ttl_ms=1, age_ms=2",
        ),
        ("no space left", {}, {"space_problem": "the disk is full"}, Reason.JOURNAL_UNAVAILABLE, "the disk is full"),
        ("off the step", {"quantity": D("0.0025")}, {}, Reason.QUANTITY_STEP, "0.001"),
        ("below the smallest notional", {"quantity": D("0.001")}, {}, Reason.BELOW_MINIMUM, "100"),
        ("no venue", {}, {"venue_connected": False}, Reason.VENUE_ERROR, "no stream to the venue"),
        ("no lease", {}, {"lease_covers": False}, Reason.LEASE_LOST, "receive window"),
        ("a failed journal", {}, {"journal_problem": "cannot sync"}, Reason.JOURNAL_UNAVAILABLE, "cannot sync"),
    ],
)
def test_each_check_rejects_with_its_reason(
    scene: Scene, description: str, fields: dict[str, Any], state: dict[str, Any], reason: Reason, detail: str
) -> None:
    rejection = scene.rules.check(requested(scene.policy, **fields), armed(**state))
    assert isinstance(rejection, Rejection), description
    assert rejection.reason is reason, f"{description}: {rejection}"
    assert rejection.message.startswith(f"{reason.name}: ")
    assert detail in rejection.message


def test_a_mode_that_the_policy_does_not_name_opens_nothing(policy: Policy) -> None:
    scene = Scene(policy, mode="shadow" if "shadow" not in policy.rules.modes else "live")
    rejection = scene.rules.check(requested(policy), armed())
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.MODE_NOT_ALLOWED


def test_an_order_that_reduces_meets_no_check_of_openings(scene: Scene) -> None:
    scene.hold("0.01")
    worst = armed(
        posture=posture(Posture.HALTED, None, silent=True),
        brain_policy_hash="h",
        reconciled=False,
        space_problem="full",
        now_ns=NOW_NS + 3_600_000_000_000,
    )
    request = exit_of(scene.policy, "0.01", policy_hash="other")
    assert scene.rules.check(request, worst) == request
    small = exit_of(scene.policy, "0.001")
    assert scene.rules.check(small, worst) == small, "what closes may be below the smallest notional"
    stopped = scene.rules.check(request, armed(lease_covers=False))
    assert isinstance(stopped, Rejection)
    assert stopped.reason is Reason.LEASE_LOST


def test_the_position_effect_is_executions_own(scene: Scene) -> None:
    scene.hold("0.01")
    claimed = exit_of(scene.policy, "0.01", position_effect=PositionEffect.OPENING)
    fact = scene.rules.check(claimed, armed())
    assert isinstance(fact, Intake)
    assert fact.position_effect is PositionEffect.REDUCING
    assert msgspec.structs.replace(fact, position_effect=PositionEffect.OPENING) == claimed


def test_a_repeated_request_has_the_first_result(scene: Scene) -> None:
    assert first_result(scene.account, "i1", 1) is None
    change = scene.account.apply(Record(requested(scene.policy), NOW_NS))
    assert first_result(scene.account, "i1", 1) == change.order
    refusal = Refusal(intent_id="i2", phase_id="p", attempt=1, reason=Reason.POSTURE, message="m")
    scene.account.apply(Record(refusal, NOW_NS))
    assert first_result(scene.account, "i2", 1) == refusal
    assert first_result(scene.account, "i2", 2) is None


def test_refusals_of_the_moment_are_not_kept() -> None:
    assert {reason for reason in Reason if not is_kept(reason)} == {
        Reason.STALE_TERM,
        Reason.JOURNAL_UNAVAILABLE,
        Reason.SHUTTING_DOWN,
    }
    assert stale_term(1, 2) == (Reason.STALE_TERM, "STALE_TERM: term=1, the highest Brain seen has 2")
