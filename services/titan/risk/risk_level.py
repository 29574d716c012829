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

    ``pending`` is a worse level that one print of the marks (``pending_print_ns``) requires since ``pending_since_ns``.
    ``calmer`` is the worst level since ``calmer_since_ns``, when the required level fell below ``level`` (0: not yet).
    """

    level: RiskLevel = RiskLevel.NORMAL
    reason: str = ""
    pending: RiskLevel = RiskLevel.NORMAL
    pending_print_ns: int = 0
    pending_since_ns: int = 0
    calmer: RiskLevel = RiskLevel.NORMAL
    calmer_since_ns: int = 0


def daily_loss(equity: Equity) -> Decimal:
    """Compute the day's loss so far, in USDT; 0 in profit or where equity is unknown."""
    return max(ZERO, equity.day_start_equity - equity.equity) if equity.known else ZERO


def daily_loss_limit(equity: Equity, rules: PolicyRules) -> Decimal:
    """Compute the largest loss that the day may have, in USDT."""
    return min(rules.max_daily_loss, rules.max_daily_loss_fraction * equity.day_start_equity)


def evaluate(
    state: RiskLevelState,
    equity: Equity,
    truth: TruthSnapshot,
    rules: PolicyRules,
    parameters: RiskParameters,
    now_ns: int,
) -> RiskLevelState:
    """Evaluate the account on every fill, mark and second.

    A level that marks require needs a second print (an equity of a later ``market_time_ns``), or has to stand unchanged
    for ``mark_confirmed_after_ns``: a single outlier changes nothing. A low truth score needs neither. Unknown equity
    or truth requires no level here: guards 3 and 6 refuse then.
    """
    marked, marked_reason = _by_equity(equity, rules, parameters) if equity.known else (RiskLevel.NORMAL, "")
    certain, certain_reason = _by_truth(truth, rules)
    required, reason = max((marked, marked_reason), (certain, certain_reason))
    if certain > state.level and certain >= marked:
        return RiskLevelState(certain, certain_reason)
    if required > state.level:
        if state.pending <= state.level:
            return RiskLevelState(
                state.level,
                state.reason,
                pending=required,
                pending_print_ns=equity.market_time_ns,
                pending_since_ns=now_ns,
            )
        stood_ns = now_ns - state.pending_since_ns
        if equity.market_time_ns != state.pending_print_ns or stood_ns >= parameters.mark_confirmed_after_ns:
            # Both prints require at least the milder of the two.
            return RiskLevelState(min(required, state.pending), reason)
        return state
    quiet = msgspec.structs.replace(state, pending=RiskLevel.NORMAL, pending_print_ns=0, pending_since_ns=0)
    if required == state.level:
        return msgspec.structs.replace(quiet, reason=reason, calmer_since_ns=0, calmer=RiskLevel.NORMAL)
    if not equity.known:
        return msgspec.structs.replace(quiet, calmer_since_ns=0, calmer=RiskLevel.NORMAL)
    if not state.calmer_since_ns:
        return msgspec.structs.replace(quiet, calmer=required, calmer_since_ns=now_ns)
    calmer = max(state.calmer, required)
    if now_ns - state.calmer_since_ns >= parameters.risk_level_dwell_ns:
        return RiskLevelState(
            calmer, reason if calmer == required else f"calmer than {state.level.name} for long enough"
        )
    return msgspec.structs.replace(quiet, calmer=calmer)


def _by_equity(equity: Equity, rules: PolicyRules, parameters: RiskParameters) -> tuple[RiskLevel, str]:
    loss, limit = daily_loss(equity), daily_loss_limit(equity, rules)
    share = loss / limit if limit > ZERO else ZERO
    drawdown = equity.drawdown
    numbers = f"drawdown={_four_places(drawdown)}, daily_loss={_four_places(loss)} of {_four_places(limit)}"
    if equity.equity < rules.equity_floor:
        return RiskLevel.EMERGENCY, f"equity={_four_places(equity.equity)} below floor={rules.equity_floor}"
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
