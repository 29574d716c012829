"""The automatic risk level: it worsens at once and recovers only after a quiet time. Source: domain.md section 4."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import RiskLevel
from titan.domain.equity import Equity
from titan.domain.numbers import ZERO
from titan.domain.policy_rules import PolicyRules
from titan.domain.truth import TruthSnapshot
from titan.risk.parameters import RiskParameters


class RiskLevelState(msgspec.Struct, frozen=True):
    """The level with its history; stored, so that a restart does not make it milder.

    ``calmer`` is the worst level since ``calmer_since_ns``, when the required level fell below ``level`` (0: not yet).
    """

    level: RiskLevel = RiskLevel.NORMAL
    reason: str = ""
    calmer: RiskLevel = RiskLevel.NORMAL
    calmer_since_ns: int = 0


def daily_loss(equity: Equity, worth: Decimal) -> Decimal:
    """Compute the day's loss at this worth of the account, in USDT; 0 in profit or where equity is unknown."""
    return max(ZERO, equity.day_start_equity - worth) if equity.known else ZERO


def daily_loss_limit(equity: Equity, rules: PolicyRules) -> Decimal:
    """Compute the largest loss that the day may have, in USDT."""
    return min(rules.max_daily_loss, rules.max_daily_loss_fraction * equity.day_start_equity)


def equity_floor(equity: Equity, rules: PolicyRules) -> Decimal:
    """Compute the equity below which everything ends, in USDT. Deposits raise it, losses and rebases do not."""
    return max(rules.equity_floor, rules.equity_floor_fraction * equity.net_deposits)


def evaluate(
    state: RiskLevelState,
    equity: Equity,
    truth: TruthSnapshot,
    rules: PolicyRules,
    parameters: RiskParameters,
    now_ns: int,
) -> RiskLevelState:
    """Evaluate the account on every fill, mark and second.

    Only confirmed equity requires a level, so a single print requires none, and neither time nor an event of another
    symbol makes it count. Unknown equity or truth requires no level here: guards 3 and 6 refuse then.
    """
    by_equity = _by_equity(equity, rules, parameters) if equity.known else (RiskLevel.NORMAL, "")
    required, reason = max(by_equity, _by_truth(truth, rules))
    if required > state.level:
        return RiskLevelState(required, reason)
    if required == state.level:
        return msgspec.structs.replace(state, reason=reason, calmer_since_ns=0, calmer=RiskLevel.NORMAL)
    if not equity.known:
        return msgspec.structs.replace(state, calmer_since_ns=0, calmer=RiskLevel.NORMAL)
    if not state.calmer_since_ns:
        return msgspec.structs.replace(state, calmer=required, calmer_since_ns=now_ns)
    calmer = max(state.calmer, required)
    if now_ns - state.calmer_since_ns >= parameters.risk_level_dwell_ns:
        return RiskLevelState(
            calmer, reason if calmer == required else f"calmer than {state.level.name} for long enough"
        )
    return msgspec.structs.replace(state, calmer=calmer)


def _by_equity(equity: Equity, rules: PolicyRules, parameters: RiskParameters) -> tuple[RiskLevel, str]:
    worth = equity.confirmed_equity
    loss, limit = daily_loss(equity, worth), daily_loss_limit(equity, rules)
    share = loss / limit if limit > ZERO else ZERO
    drawdown = equity.drawdown
    numbers = f"drawdown={_four_places(drawdown)}, daily_loss={_four_places(loss)} of {_four_places(limit)}"
    floor = equity_floor(equity, rules)
    if worth < floor:
        return RiskLevel.EMERGENCY, f"equity={_four_places(worth)} below floor={_four_places(floor)}"
    if drawdown >= rules.drawdown_emergency or share >= 1:
        return RiskLevel.EMERGENCY, numbers
    if drawdown >= rules.drawdown_defensive or share >= parameters.daily_loss_defensive:
        return RiskLevel.DEFENSIVE, numbers
    if drawdown >= rules.drawdown_caution or share >= parameters.daily_loss_cautious:
        return RiskLevel.CAUTIOUS, numbers
    return RiskLevel.NORMAL, ""


def _by_truth(truth: TruthSnapshot, rules: PolicyRules) -> tuple[RiskLevel, str]:
    if truth.known and truth.score < rules.defensive_truth_score:
        return RiskLevel.DEFENSIVE, f"truth={truth.score} below {rules.defensive_truth_score}"
    return RiskLevel.NORMAL, ""


def _four_places(value: Decimal) -> str:
    return f"{value:.4f}"
