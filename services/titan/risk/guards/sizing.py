"""The guards that size: 8 edge and Kelly, 15 notionals, 16 leverage and margin, 17 losses. Source: domain.md 2, 3."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Side
from titan.domain.numbers import ONE, ZERO
from titan.domain.reasons import Reason
from titan.domain.trip_results import NO_RECORD, SetupRecord
from titan.risk.evaluation import REJECT, Evaluation, Outcome, Raw, capped
from titan.risk.risk_level import daily_loss_limit

# Probabilities become factors on money with this many places, rounded down.
_PLACES = 1_000_000_000
_PLACE = Decimal("1e-9")


def probability(score: float, stop: float, target: float, record: SetupRecord, e: Evaluation) -> float:
    """Estimate the probability of the target before the stop, from a driftless prior and the phase's own trades.

    The trades count by their mean R-multiple, however they ended: a time exit is neither a target nor a stop.

    Parameters
    ----------
    score
        Setup score in [0, 1].
    stop, target
        Distances as fractions of price.
    record
        Finished trades of the phase with this setup.
    """
    parameters = e.limits.parameters
    lift = 2.0 * score - 1.0
    prior = stop / (stop + target) + (e.limits.score_lift * lift if lift > 0.0 else 0.0)
    prior = min(prior, parameters.probability_max)
    reward = target / stop
    prior_mean = prior * reward - (1.0 - prior)
    mean = (parameters.prior_trades * prior_mean + record.weighted_r) / (parameters.prior_trades + record.weight)
    return min(max((mean + 1.0) / (reward + 1.0), 0.0), parameters.probability_max)


def edge(e: Evaluation) -> Outcome:
    """8: stop and target on the right sides, an expected edge worth its cost, and the Kelly cap."""
    intent = e.intent
    price = e.price
    if not intent.stop_price:
        return REJECT, Reason.STOP_MISSING, "stop=none", "an opening order needs a stop", None
    if not intent.target_price:
        return REJECT, Reason.TARGET_MISSING, "target=none", "an opening order needs a target", None
    if intent.side is Side.BUY:
        stop_exact = (price - intent.stop_price) / price
        target = float((intent.target_price - price) / price)
    else:
        stop_exact = (intent.stop_price - price) / price
        target = float((price - intent.target_price) / price)
    stop = float(stop_exact)
    if stop <= 0.0 or target <= 0.0:
        prices = ("stop={} target={}", intent.stop_price, intent.target_price)
        return REJECT, Reason.EDGE_TOO_SMALL, prices, ("both sides of price={}", price), None
    symbol = e.symbol
    cost_exact = symbol.cost_maker if e.maker else symbol.cost_taker
    cost = float(cost_exact)
    e.stop_fraction = stop_exact
    e.loss_fraction = stop_exact + cost_exact
    record = e.phase.history.by_setup.get(intent.setup, NO_RECORD)
    p = probability(intent.setup_score, stop, target, record, e)
    expected = p * target - (1.0 - p) * stop
    needed = e.limits.min_edge_to_cost * cost
    value = (
        "edge={} p={} stop={} target={} mean_r={} of {}; {}",
        expected,
        p,
        stop,
        target,
        record.mean_r,
        record.trades,
        e.limits.tail_note,
    )
    limit = (
        "min={} = {} x cost={} (fees and spread={}, impact not known: 0)",
        needed,
        e.limits.min_edge_to_cost,
        cost_exact,
        symbol.spread,
    )
    if expected < needed:
        return _explored(e, value, limit) or (REJECT, Reason.EDGE_TOO_SMALL, value, limit, None)
    budget = e.phase.budget
    assert budget is not None  # guard 3
    reward = (target - cost) / (stop + cost)
    kelly = p - (1.0 - p) / reward if reward > 0.0 else 0.0
    factor = Decimal(int(e.limits.kelly_scale * max(kelly, 0.0) / stop * _PLACES)) * _PLACE
    largest = e.risk_state.equity.opening_equity * budget.weight * factor
    if budget.modifier > ONE:
        # It raises what the phase may ask for; every other limit holds.
        largest *= budget.modifier
    return (_explored(e, value, limit) if largest < e.least else None) or capped(e, largest, Reason.KELLY, value, limit)


def _explored(e: Evaluation, value: Raw, limit: tuple[object, ...]) -> Outcome | None:
    """Pass one lot of a setup that would be refused, so that it can earn its way back; None where none is left."""
    most = e.limits.explorations_per_day
    taken = e.risk_state.frequency.explored(e.intent.phase_id, e.intent.setup, e.now_ns)
    if taken >= most:
        return None
    e.explores = True
    marked = (f"{limit[0]}; EXPLORE {{}} of {{}} lots today", *limit[1:], taken + 1, most)
    return capped(e, e.least, Reason.EDGE_TOO_SMALL, value, marked)


def notionals(e: Evaluation) -> Outcome:
    """15: position, order and total notional, with reservations counted as if done."""
    limits, symbol = e.limits, e.symbol
    # An order against the net position reduces it first; reservations count in the trade's own direction.
    held = symbol.net_notional if e.intent.side is Side.BUY else -symbol.net_notional
    position = held + symbol.reserved_notional
    total = e.risk_state.gross_notional
    position_room = limits.max_position_notional - position
    total_room = limits.max_total_notional - total
    largest, reason = limits.max_order_notional, Reason.ORDER_NOTIONAL
    if position_room < largest:
        largest, reason = position_room, Reason.POSITION_NOTIONAL
    if total_room < largest:
        largest, reason = total_room, Reason.TOTAL_NOTIONAL
    return capped(
        e,
        largest,
        reason,
        ("position={} total={} before the trade", position, total),
        (
            "order={} position={} total={}",
            limits.max_order_notional,
            limits.max_position_notional,
            limits.max_total_notional,
        ),
    )


def leverage(e: Evaluation) -> Outcome:
    """16: account leverage after the trade, the phase's margin, and the distance to liquidation."""
    risk_state, phase, symbol = e.risk_state, e.phase, e.symbol
    budget = phase.budget
    assert budget is not None  # guard 3
    equity = risk_state.equity.opening_equity
    setting = min(symbol.margin_leverage, phase.parameters.margin_leverage)
    instrument = symbol.instrument
    if instrument.kind == "perp":
        distance = 1 / setting - instrument.maintenance_margin
        needed = e.limits.parameters.liquidation_stop_distances * e.stop_fraction
        if distance < needed:
            value: Raw = ("liquidation_distance={} at margin_leverage={}", distance, setting)
            limit: Raw = ("min={} = {} stops", needed, e.limits.parameters.liquidation_stop_distances)
            return REJECT, Reason.LIQUIDATION_DISTANCE, value, limit, None
    account_room = budget.max_leverage * equity - risk_state.gross_notional
    margin_limit = phase.parameters.margin_use_max * budget.weight * equity
    margin_room = (margin_limit - phase.margin_used) * setting
    value = ("gross={} equity={} margin_used={}", risk_state.gross_notional, equity, phase.margin_used)
    limit = ("leverage={} margin={} at margin_leverage={}", budget.max_leverage, margin_limit, setting)
    if margin_room < account_room:
        return capped(e, margin_room, Reason.MARGIN_USE, value, limit)
    return capped(e, account_room, Reason.ACCOUNT_LEVERAGE, value, limit)


def losses(e: Evaluation) -> Outcome:
    """17: the day's loss with reserved worst cases, the phase's open risk, and this trade's loss at its stop."""
    limits, risk_state, open_risk = e.limits, e.risk_state, e.phase.worst_case
    budget = e.phase.budget
    assert budget is not None  # guard 3
    day_limit = daily_loss_limit(risk_state.equity, limits.rules)
    trade_limit = limits.max_loss_per_trade * risk_state.equity.opening_equity * budget.weight
    day_room = day_limit - risk_state.day_loss - risk_state.worst_case
    value = (
        "day_loss={} reserved={} of the phase={} loss_fraction={}",
        risk_state.day_loss,
        risk_state.worst_case,
        open_risk,
        e.loss_fraction,
    )
    limit = ("day={} phase={} trade={}", day_limit, budget.max_drawdown, trade_limit)
    phase_room = budget.max_drawdown - open_risk
    if phase_room < day_room and phase_room < trade_limit:
        return capped(e, max(ZERO, phase_room) / e.loss_fraction, Reason.BUDGET_EXHAUSTED, value, limit)
    if day_room < trade_limit:
        largest = day_room / e.loss_fraction if day_room > ZERO else ZERO
        return capped(e, largest, Reason.DAILY_LOSS, value, limit)
    return capped(e, trade_limit / e.loss_fraction, Reason.TRADE_LOSS, value, limit)
