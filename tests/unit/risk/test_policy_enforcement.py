"""Each rule of a policy changes the verdicts that it should and no others, or stands listed as not enforced.

A *probe* is one situation, at the edge of one rule, and its verdict under a policy.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from support.risk.changes import Change, explored, phase, setting, unchanged
from support.risk.scene import ETH, NOW, PERP, SECOND, budget, decide, equity, hold, intent, reserved, risk_state, rules
from titan.domain.account import Account
from titan.domain.enums import OrderType, PositionEffect, Posture, RiskLevel, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Intake
from titan.domain.marks import Marks
from titan.domain.order_intake import IntakeState, OrderIntakeRules
from titan.domain.policy import mode_problem
from titan.domain.policy_enforcement import ENFORCED_BY, gaps
from titan.domain.policy_hash import Policy
from titan.domain.policy_rules import MODES, RULES, LiveApproval, Mode, PolicyRules
from titan.domain.positions import RoundTrip
from titan.domain.posture import PostureInputs
from titan.domain.truth import TruthSnapshot
from titan.domain.venue_errors import error_level, failure_posture
from titan.risk.allocation import AllocationState, allocate
from titan.risk.budgets import grant
from titan.risk.parameters import RiskParameters
from titan.risk.posture import ArmingFacts, arming_problems
from titan.risk.risk_level import RiskLevelState, equity_floor, evaluate
from titan.risk.state_updater import StateUpdater

D = Decimal
CLEAN = TruthSnapshot(known=True, score=100)
Probe = Callable[[PolicyRules], str]


def asked(change: Change = unchanged, **fields: Any) -> Probe:
    """Ask Brain's guards; the verdict is the reason, or the size."""

    def probe(policy: PolicyRules) -> str:
        decision = decide(risk_state(policy), intent(**fields), change)
        return f"{decision.reason.name} {decision.quantity}"

    return probe


def rich(**fields: Any) -> Probe:
    """Ask with so much equity that only notionals bound the size; ``change`` in ``fields`` comes first."""
    change = fields.pop("change", unchanged)

    def richer(made: Any) -> None:
        made.equity = equity("1000000", day_start_equity=D(1_000_000), net_deposits=D(1))
        made.phases["scavenger"].budget = budget(max_notional=D(10**8), max_drawdown=D(10**8))
        change(made)
        made.refresh()

    return asked(richer, **{"max_notional": D(10**8), **fields})


def level(known: Equity, truth: TruthSnapshot = CLEAN) -> Probe:
    def probe(policy: PolicyRules) -> str:
        first = evaluate(RiskLevelState(), known, truth, policy, RiskParameters(), NOW)
        later = msgspec.structs.replace(known, market_time_ns=NOW + 1)
        return evaluate(first, later, truth, policy, RiskParameters(), NOW + 2 * SECOND).level.name

    return probe


def drawn(fraction: str) -> Probe:
    return level(equity("1000", day_start_equity=D(1_000), drawdown=D(fraction)))


def weight(policy: PolicyRules) -> str:
    known = equity("160", net_deposits=D(220))
    allocation, _ = allocate(
        known.equity, equity_floor(known, policy), ("scavenger",), AllocationState(), RiskParameters()
    )
    return str(allocation.weights["scavenger"])


def budget_leverage(policy: PolicyRules) -> str:
    made = risk_state(policy)
    allocation, _ = allocate(D(200), D(0), ("scavenger",), AllocationState(), RiskParameters())
    return str(grant(made, made.phases["scavenger"], allocation, NOW, "b").max_notional)


def streak(policy: PolicyRules) -> str:
    made = risk_state(policy)
    updater = StateUpdater(made)
    for number in range(3):
        trip = RoundTrip(
            intent_id=f"i{number}",
            phase_id="scavenger",
            setup="other",
            symbol=PERP,
            side=Side.BUY,
            quantity=D(1),
            entry_price=D(1),
            exit_price=D(1),
            realized_pnl=D(-1),
            fees=D(0),
            opened_ns=NOW - SECOND,
            closed_ns=NOW - number,
            risk=D(1),
        )
        updater.on_trip(trip)
    return str(made.phases["scavenger"].paused_until_ns - NOW)


def arming(policy: PolicyRules) -> str:
    facts = ArmingFacts(
        ceiling=Posture.ARMED,
        risk_level=RiskLevel.NORMAL,
        equity=equity(),
        truth=TruthSnapshot(known=True, score=85),
        min_truth_score=policy.min_truth_score,
        reconciled=True,
        execution_connected=True,
        policy_hash="h",
        execution_hash="h",
        mode_problem=mode_problem(policy, "paper"),
        two_person_arm=policy.two_person_arm,
    )
    return "; ".join(arming_problems(facts))


def taken(mode: Mode = "paper", age_ms: int = 0, symbol: str = PERP) -> Probe:
    """Ask Execution's intake; the verdict is its reason, or the limit of the order."""

    def probe(policy: PolicyRules) -> str:
        marks = Marks()
        marks.update(symbol, D(60_000), D(60_000), NOW, "run", 1)
        intake = Intake(
            intent_id="i",
            phase_id="scavenger",
            attempt=1,
            position_effect=PositionEffect.OPENING,
            symbol=symbol,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            quantity=D("0.002"),
            policy_hash="h",
            term=1,
            event_time_ns=NOW,
            stop_price=D(59_000),
        )
        posture = PostureInputs(latch=Posture.ARMED, brain=Posture.ARMED, brain_silent=False, silence_s=5)
        state = IntakeState(now_ns=NOW + age_ms * 1_000_000, posture=posture)
        rules_of = OrderIntakeRules(Policy(policy, "h"), mode, Account(PAPER_INSTRUMENTS), marks)
        answer = rules_of.check(intake, state)
        return f"limit {answer.limit_price}" if isinstance(answer, Intake) else answer.reason.name

    return probe


def executed(made: Any) -> None:
    for number in range(20):
        if number % 10:
            made.quality.filled(0.002)
        else:
            made.quality.refused()


def live(policy: PolicyRules) -> str:
    return str(mode_problem(msgspec.structs.replace(policy, modes=("paper", "live")), "live"))


PROBES: dict[str, Probe] = {
    "a trade": asked(),
    "live": live,
    "a budget": budget_leverage,
    "a trade near its margin": asked(phase(margin_used=D(80))),
    "the largest order": rich(),
    "the largest position": rich(change=lambda made: hold(made, "0.7")),
    "the largest total": rich(change=lambda made: hold(made, "-38", symbol=ETH, stop="2501")),
    "a sixth entry": asked(lambda made: [reserved(made, "1") for _ in range(5)]),
    "a day with losses": asked(setting(equity=equity("182"))),
    "a drawdown of 4 %": drawn("0.04"),
    "a drawdown of 7 %": drawn("0.07"),
    "a drawdown of 12 %": drawn("0.12"),
    "a day's loss of 7 %": level(equity("186")),
    "a large day's loss": level(equity("99400", day_start_equity=D(100_000))),
    "near the floor": level(equity("160", day_start_equity=D(160), net_deposits=D(220))),
    "weight near the floor": weight,
    "BTC is held": asked(lambda made: hold(made, "0.001")),
    "ETH is held": asked(lambda made: hold(made, "0.01", symbol=ETH, stop="2490")),
    "a score of .65": asked(setup_score=0.65, target_price=D(62_500)),
    "an edge of little": asked(explored, target_price=D(61_500)),
    "a stop near the volatility": asked(volatility=0.0015),
    "a price of 4 s": asked(lambda made: setattr(made.symbols[PERP], "quote_ns", NOW - 4 * SECOND)),
    "a signal of 150 ms": asked(hops=(("phase", 150_000_000),)),
    "a signal of 300 ms": asked(hops=(("phase", 300_000_000),)),
    "a truth of 85": asked(setting(truth=TruthSnapshot(known=True, score=85))),
    "a truth of 55": level(equity(), TruthSnapshot(known=True, score=55)),
    "orders that slipped": asked(executed),
    "three losses": streak,
    "venue errors of 3 %": lambda policy: error_level(D("0.03"), policy).name,
    "venue errors of 15 %": lambda policy: error_level(D("0.15"), policy).name,
    "a venue that fails": lambda policy: failure_posture(policy, stops_confirmed=False).name,
    "arming": arming,
    "Execution takes": taken(),
    "Execution takes ETH": taken(symbol=ETH),
    "Execution takes at a price of 4 s": taken(age_ms=4_000),
}

SMALL = {
    "a trade",
    "a trade near its margin",
    "a day with losses",
    "BTC is held",
    "ETH is held",
    "a stop near the volatility",
    "a price of 4 s",
    "a signal of 150 ms",
    "a signal of 300 ms",
    "a truth of 85",
    "orders that slipped",
}
LARGE = {"the largest order", "the largest position", "the largest total"}
SCORE, LITTLE = {"a score of .65"}, {"an edge of little"}
TAKEN = {"Execution takes", "Execution takes ETH", "Execution takes at a price of 4 s"}
FLOOR = {"near the floor", "weight near the floor"}
APPROVAL = LiveApproval(reference="minutes 7", approved_by="ana", expires="2027-01-31T00:00:00Z")

# The changed value of each rule, and the probes whose verdict it changes.
CHANGES: dict[str, tuple[object, set[str]]] = {
    "modes": (("shadow",), {"arming", *TAKEN}),
    "liveApproval": (APPROVAL, {"live"}),
    "maxAccountLeverage": (D(5), {"a budget"}),
    "maxMarginLeverage": (D(5), SMALL),
    "maxPositionNotional": (D(45_000), {"the largest position"}),
    "maxTotalNotional": (D(80_000), {"the largest total"}),
    "maxOrderNotional": (D(9_000), {"the largest order"}),
    "maxEntryOrdersPerSymbol": (6, {"a sixth entry"}),
    "maxLossPerTrade": (D("0.005"), SMALL | SCORE | LITTLE),
    "maxDailyLoss": (D(500), {"a large day's loss"}),
    "maxDailyLossFraction": (D("0.092"), {"a day with losses", "a day's loss of 7 %"}),
    "drawdownCaution": (D("0.03"), {"a drawdown of 4 %"}),
    "drawdownDefensive": (D("0.06"), {"a drawdown of 7 %"}),
    "drawdownEmergency": (D("0.11"), {"a drawdown of 12 %"}),
    "equityFloor": (D(165), FLOOR),
    "equityFloorFraction": (D("0.8"), FLOOR),
    "maxCorrelation": (D(1), {"BTC is held", "ETH is held", "the largest position"}),
    "correlationPenalty": (D("0.8"), {"BTC is held", "ETH is held", "the largest position"}),
    "correlationUnknown": (D("0.5"), {"ETH is held"}),
    "maxPhaseCorrelation": (D("0.1"), set()),
    "minConfidence": (D("0.7"), SCORE),
    "scoreLift": (D("0.2"), SMALL | LARGE | SCORE | LITTLE),
    "minEdgeToCost": (D("1.3"), SMALL | LARGE | LITTLE),
    "stopVolatilityMultiple": (D("1.5"), {"a stop near the volatility"}),
    "maxSlippage": (D("0.005"), {"orders that slipped", *TAKEN}),
    "maxPriceAgeMs": (3_000, {"a price of 4 s", "Execution takes at a price of 4 s"}),
    "maxSignalAgeMs": (250, {"a signal of 300 ms"}),
    "latencyReduceMs": (100, {"a signal of 150 ms"}),
    "latencyRejectMs": (250, {"a signal of 300 ms"}),
    "minTruthScore": (90, {"a truth of 85", "arming"}),
    "defensiveTruthScore": (60, {"a truth of 55"}),
    "minExecutionQuality": (D("0.75"), {"orders that slipped"}),
    "venueErrorsDefensive": (D("0.01"), {"venue errors of 3 %"}),
    "venueErrorsEmergency": (D("0.1"), {"venue errors of 15 %"}),
    "onVenueFailure": ("halt", {"a venue that fails"}),
    "lossStreakCount": (4, {"three losses"}),
    "lossStreakPauseMinutes": (60, {"three losses"}),
    "tailMode": ("ENFORCEMENT", SMALL | LARGE | SCORE | LITTLE),
    "twoPersonArm": (True, {"arming"}),
    "symbols": (("BTC/USDT",), SMALL | LARGE | SCORE | LITTLE | TAKEN | {"a sixth entry"}),
}


def changed(rule: str) -> PolicyRules:
    return msgspec.structs.replace(rules(), **{RULES[rule].field: CHANGES[rule][0]})


def verdicts(policy: PolicyRules) -> dict[str, str]:
    return {name: probe(policy) for name, probe in PROBES.items()}


BEFORE = verdicts(rules())


def test_every_rule_stands_in_the_table_and_is_changed_here() -> None:
    assert list(ENFORCED_BY) == list(RULES) == list(CHANGES)


@pytest.mark.parametrize("rule", RULES)
def test_a_changed_rule_changes_the_verdicts_that_it_should(rule: str) -> None:
    policy = changed(rule)
    after = verdicts(policy)
    assert {name for name in PROBES if BEFORE[name] != after[name]} == CHANGES[rule][1]
    not_enforced = {gap.rule for gap in gaps(policy)}
    assert (rule in not_enforced) == (not CHANGES[rule][1])


def test_advisory_tail_limits_alert_nobody_and_are_listed() -> None:
    advisory = rules(tail_mode="ADVISORY")
    assert verdicts(advisory) == BEFORE
    (gap,) = set(gaps(advisory)) - set(gaps(rules()))
    assert gap.sentence == "tailMode: ADVISORY: nothing estimates tails, so nobody is alerted"


def test_live_names_each_rule_that_nothing_enforces() -> None:
    sentence = live(rules(live_approval=APPROVAL))
    for gap in gaps(rules()):
        assert gap.rule in sentence


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_runs_or_says_what_it_lacks(mode: Mode) -> None:
    problem = mode_problem(rules(modes=("paper", "shadow", "live"), live_approval=APPROVAL), mode)
    assert (problem is None) == (mode == "paper")


def test_alpha_without_a_tail_estimate_takes_the_minimum_of_the_throttle() -> None:
    large = rich(target_price=D(62_500), setup_score=0.95)
    alpha = rules("alpha")
    assert alpha.tail_mode == "ENFORCEMENT"
    sizes = [large(rules("alpha", max_order_notional=D(5_000), tail_mode=mode)) for mode in ("SHADOW", "ENFORCEMENT")]
    assert sizes == ["OK 0.081", "OK 0.008"]
