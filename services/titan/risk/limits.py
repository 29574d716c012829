"""The policy's numbers, converted once to the type and unit in which the guards compare them."""

from __future__ import annotations

from titan.domain.numbers import ONE
from titan.domain.policy_enforcement import gaps
from titan.domain.policy_rules import Mode, PolicyRules
from titan.domain.time import NS_PER_MS, NS_PER_S
from titan.risk.parameters import RiskParameters


class Limits:
    """Rules and parameters, ready to compare. Decimals are money and fractions, floats probabilities."""

    __slots__ = (
        "band_below",
        "correlation_limit",
        "correlation_penalty",
        "correlation_unknown",
        "explorations_per_day",
        "kelly_scale",
        "latency_limit",
        "latency_reduce_ns",
        "latency_reject_ns",
        "latency_window_s",
        "max_account_leverage",
        "max_correlation",
        "max_entry_orders",
        "max_loss_per_trade",
        "max_margin_leverage",
        "max_order_notional",
        "max_position_notional",
        "max_price_age_ns",
        "max_signal_age_ns",
        "max_slippage",
        "max_total_notional",
        "min_confidence",
        "min_edge_to_cost",
        "min_execution_quality",
        "min_truth_score",
        "mode",
        "mode_problem",
        "not_enforced",
        "parameters",
        "policy_hash",
        "quality_limit",
        "quality_min_orders",
        "rules",
        "score_lift",
        "stop_volatility_multiple",
        "symbols",
        "tail_limit",
        "tail_note",
        "tail_throttle",
    )

    def __init__(
        self,
        rules: PolicyRules,
        policy_hash: str,
        parameters: RiskParameters,
        mode: Mode,
        mode_problem: str | None = None,
    ) -> None:
        self.rules = rules
        self.policy_hash = policy_hash
        self.parameters = parameters
        self.mode = mode
        # Why the policy does not allow the mode; changes only when a live approval ends.
        self.mode_problem = mode_problem
        self.symbols = frozenset(rules.symbols)
        self.max_account_leverage = rules.max_account_leverage
        self.max_margin_leverage = rules.max_margin_leverage
        self.max_position_notional = rules.max_position_notional
        self.max_total_notional = rules.max_total_notional
        self.max_order_notional = rules.max_order_notional
        self.max_entry_orders = rules.max_entry_orders_per_symbol
        self.max_loss_per_trade = rules.max_loss_per_trade
        self.max_price_age_ns = rules.max_price_age_ms * NS_PER_MS
        self.max_signal_age_ns = rules.max_signal_age_ms * NS_PER_MS
        self.min_truth_score = rules.min_truth_score
        self.min_confidence = float(rules.min_confidence)
        # No setup carries a signed calibration yet, and real money follows no score without one.
        self.score_lift = 0.0 if mode == "live" else float(rules.score_lift)
        self.explorations_per_day = 0 if mode == "live" else parameters.explorations_per_day
        self.stop_volatility_multiple = float(rules.stop_volatility_multiple)
        self.latency_reduce_ns = rules.latency_reduce_ms * NS_PER_MS
        self.latency_reject_ns = rules.latency_reject_ms * NS_PER_MS
        self.latency_window_s = parameters.latency_window_ns // NS_PER_S
        self.min_execution_quality = float(rules.min_execution_quality)
        self.max_slippage = float(rules.max_slippage)
        self.band_below = ONE - rules.max_slippage
        self.max_correlation = rules.max_correlation
        self.correlation_penalty = rules.correlation_penalty
        self.correlation_unknown = rules.correlation_unknown
        # Limits of guards that no intent changes, written out once.
        self.latency_limit = f"reduce={rules.latency_reduce_ms} reject={rules.latency_reject_ms}"
        self.quality_limit = f"min={rules.min_execution_quality}"
        self.quality_min_orders = parameters.quality_min_orders
        self.correlation_limit = f"max={rules.max_correlation} in the same direction"
        enforced = rules.tail_mode == "ENFORCEMENT"
        self.tail_throttle = parameters.tail_throttle_min if enforced else None
        self.tail_limit = (
            f"size x {parameters.tail_throttle_min} (tailMode=ENFORCEMENT)"
            if enforced
            else f"tailMode={rules.tail_mode}: decides nothing"
        )
        self.not_enforced = tuple(gap.rule for gap in gaps(rules))
        self.min_edge_to_cost = float(rules.min_edge_to_cost)
        self.kelly_scale = parameters.kelly_scale(parameters.tail_alpha)
        self.tail_note = f"alpha={parameters.tail_alpha} assumed (no estimate): Kelly x {self.kelly_scale:g}"
