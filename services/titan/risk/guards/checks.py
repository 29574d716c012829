"""The guards that pass or reject: 0 to 7, 18 and 19. Source: domain.md section 3.

Each is a small pure function of an :class:`~titan.risk.evaluation.Evaluation`.
"""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Action, BudgetState, PositionEffect, Posture, RiskLevel, Side
from titan.domain.numbers import ONE, ZERO, is_multiple
from titan.domain.position_effect import Reducible, reducible
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from titan.risk.allocation import LOWEST_RANK
from titan.risk.evaluation import OK, PASS, REJECT, Evaluation, Outcome, Raw, capped, scaled, signal_age_ns
from titan.risk.risk_level import equity_floor


def position_effect(e: Evaluation) -> Outcome:
    """0: reducing, when the order opposes and fits the phase's share and the account's net less exits in flight."""
    intent = e.intent
    opens = intent.action is Action.OPEN
    if opens and (not e.symbol.net or (intent.side is Side.BUY) == (e.symbol.net > ZERO)):
        return PASS, OK, "lane=OPENING", "", None
    mirror = e.risk_state.mirror
    exits = mirror.reservations.exits.values()
    fits = reducible(mirror.positions, exits, intent.phase_id, intent.symbol, intent.side)
    if opens:
        # Its size is not known yet: what it turns out to be is decided with it.
        e.fits = fits
        return PASS, OK, "lane=OPENING", "", None
    value = ("quantity={}", intent.quantity)
    limit = _fits(fits)
    if not fits.quantity:
        return REJECT, Reason.NOTHING_TO_REDUCE, value, limit, None
    if fits.effect(intent.quantity) is PositionEffect.REDUCING:
        e.position_effect = PositionEffect.REDUCING
        return PASS, OK, value, limit, None
    # Any excess makes the whole order opening; the phase's own size then bounds it.
    e.notional = intent.quantity * e.notional_price
    return PASS, OK, ("lane=OPENING quantity={}", intent.quantity), limit, None


def takes_back(e: Evaluation, quantity: Decimal) -> Outcome:
    """0, once it is sized: an OPEN that takes back a part of the phase's position has no stop and target of its own."""
    assert e.fits is not None
    value = ("lane=REDUCING quantity={}; its stop and target do not apply", quantity)
    return PASS, OK, value, _fits(e.fits), None


def _fits(fits: Reducible) -> Raw:
    return "share={} net={} less exits in flight", fits.share, fits.net


def intent_valid(e: Evaluation) -> Outcome:
    """1: not decided before, in the instrument's ticks and steps, stop and target on their sides, young enough."""
    intent = e.intent
    if e.seen:
        return REJECT, Reason.DUPLICATE_INTENT, ("intent_id={}", intent.intent_id), "decided before", None
    instrument = e.symbol.instrument
    tick = instrument.tick_size
    if intent.limit_price and not is_multiple(intent.limit_price, tick):
        return REJECT, Reason.PRICE_TICK, ("limit_price={}", intent.limit_price), ("tick={}", tick), None
    if intent.action is Action.CLOSE:
        if not is_multiple(intent.quantity, instrument.quantity_step):
            limit = ("step={}", instrument.quantity_step)
            return REJECT, Reason.QUANTITY_STEP, ("quantity={}", intent.quantity), limit, None
        if e.position_effect is PositionEffect.REDUCING:
            return PASS, OK, "reducing: no age test", "", None
    stop, target, reference = intent.stop_price, intent.target_price, intent.reference_price
    if stop and not is_multiple(stop, tick):
        return REJECT, Reason.PRICE_TICK, ("stop_price={}", stop), ("tick={}", tick), None
    if target and not is_multiple(target, tick):
        return REJECT, Reason.PRICE_TICK, ("target_price={}", target), ("tick={}", tick), None
    if intent.side is Side.BUY:
        wrong = (stop >= reference) or (target and target <= reference)
    else:
        wrong = (stop and stop <= reference) or target >= reference
    if wrong:
        value = ("stop_price={} target_price={}", stop, target)
        return REJECT, Reason.INVALID_INTENT, value, ("on their sides of reference_price={}", reference), None
    if intent.side is Side.SELL and instrument.kind == "spot":
        return REJECT, Reason.INVALID_INTENT, "side=SELL", "on spot only what is held is sold, by CLOSE", None
    age_ns = e.age_ns = signal_age_ns(intent, e.now_ns, e.risk_state.lockstep)
    value_age = ("age_ms={}", age_ns / 1e6)
    limit_age = ("max={}", e.limits.rules.max_signal_age_ms)
    if age_ns > e.limits.max_signal_age_ns:
        return REJECT, Reason.SIGNAL_TOO_OLD, value_age, limit_age, None
    return PASS, OK, value_age, limit_age, None


def posture(e: Evaluation) -> Outcome:
    """2: one policy everywhere, Execution connected, ARMED, a risk level that opens, no pause after losses."""
    risk_state = e.risk_state
    ours = e.limits.policy_hash
    if e.intent.policy_hash != ours or e.phase.policy_hash != ours:
        other = e.intent.policy_hash if e.intent.policy_hash != ours else e.phase.policy_hash
        value: Raw = ("phase={}", other or "none")
        return REJECT, Reason.POLICY_HASH_MISMATCH, value, ("brain={}", ours), None
    if not risk_state.execution_connected:
        return REJECT, Reason.EXECUTION_AWAY, "execution=away", "connected", None
    if risk_state.execution_hash != ours:
        value = ("execution={}", risk_state.execution_hash or "none")
        return REJECT, Reason.POLICY_HASH_MISMATCH, value, ("brain={}", ours), None
    if risk_state.posture is not Posture.ARMED:
        by_level = risk_state.risk_level >= RiskLevel.DEFENSIVE
        value = ("posture={} risk_level={} ({})", risk_state.posture, risk_state.risk_level, risk_state.posture_source)
        return REJECT, Reason.RISK_LEVEL if by_level else Reason.POSTURE, value, "posture=ARMED", None
    if e.now_ns < e.phase.paused_until_ns:
        rules = e.limits.rules
        value = ("losses_in_a_row={} or more", rules.loss_streak_count)
        limit: Raw = ("pause ends in {} s", (e.phase.paused_until_ns - e.now_ns) // NS_PER_S)
        return REJECT, Reason.LOSS_STREAK, value, limit, None
    if risk_state.risk_level is RiskLevel.CAUTIOUS:
        parameters = e.limits.parameters
        value = ("posture=ARMED risk_level=CAUTIOUS ({})", risk_state.risk_reason)
        if e.phase.parameters.rank == parameters.cautious_waits_rank:
            limit = ("rank {} waits while CAUTIOUS", parameters.cautious_waits_rank)
            return REJECT, Reason.RISK_LEVEL, value, limit, None
        return scaled(e, parameters.cautious_scale, value, ("size x {}", parameters.cautious_scale))
    return PASS, OK, "posture=ARMED risk_level=NORMAL", "posture=ARMED", None


def budget(e: Evaluation) -> Outcome:
    """3: equity known, a live grant with weight, orders a minute, the unused part of the grant, and its modifier."""
    phase = e.phase
    grant = phase.budget
    if not e.risk_state.equity.known:
        return REJECT, Reason.EQUITY_UNKNOWN, ("equity=unknown ({})", e.risk_state.equity.reason), "known", None
    if grant is None or grant.expired(e.now_ns):
        value: Raw = "none" if grant is None else ("expired {} ms ago", (e.now_ns - grant.expires_at_ns) // NS_PER_MS)
        return REJECT, Reason.BUDGET_EXPIRED, value, "a live budget", None
    if grant.weight <= ZERO:
        value = ("weight={} equity={}", grant.weight, e.risk_state.equity.opening_equity)
        starts = phase.parameters.starts_at_equity
        if phase.parameters.rank == LOWEST_RANK:
            starts = equity_floor(e.risk_state.equity, e.limits.rules)
        return REJECT, Reason.NO_ALLOCATION, value, ("from equity={}", starts), None
    if grant.state is not BudgetState.ACTIVE and grant.state is not BudgetState.THROTTLED:
        return REJECT, Reason.BUDGET_EXHAUSTED, ("state={} ({})", grant.state, grant.reason), "ACTIVE", None
    openings, most = phase.openings_ns, grant.orders_per_minute
    if len(openings) >= most and openings[-most] > e.now_ns - NS_PER_MINUTE:
        return REJECT, Reason.ORDER_RATE, ("orders_in_a_minute={} or more", most), ("max={}", most), None
    outcome = capped(
        e,
        grant.max_notional - phase.used_notional,
        Reason.BUDGET_EXHAUSTED,
        ("used={}", phase.used_notional),
        ("budget={} modifier={} ({})", grant.max_notional, grant.modifier, grant.modifier_reason),
    )
    if grant.modifier >= ONE or outcome[0] is REJECT:
        # One above 1 acts on the Kelly cap, in guard 8.
        return outcome
    return scaled(e, grant.modifier, outcome[2], outcome[3])


def symbol(e: Evaluation) -> Outcome:
    """4: the policy names the symbol and the mode."""
    if not e.symbol.allowed:
        return REJECT, Reason.SYMBOL_NOT_ALLOWED, e.intent.symbol, ", ".join(e.limits.rules.symbols), None
    if e.limits.mode_problem is not None:
        return REJECT, Reason.MODE_NOT_ALLOWED, e.limits.mode, e.limits.mode_problem, None
    return PASS, OK, ("{} mode={}", e.intent.symbol, e.limits.mode), "named by the policy", None


def price_age(e: Evaluation) -> Outcome:
    """5: Brain's own price is young enough."""
    limit = ("max={}", e.limits.rules.max_price_age_ms)
    if not e.symbol.quote_ns:
        return REJECT, Reason.PRICE_STALE, "no price yet", limit, None
    age_ns = e.now_ns - e.symbol.quote_ns
    value = ("age_ms={}", age_ns / 1e6)
    if age_ns > e.limits.max_price_age_ns:
        return REJECT, Reason.PRICE_STALE, value, limit, None
    return PASS, OK, value, limit, None


def truth(e: Evaluation) -> Outcome:
    """6: Execution's account agrees with the venue's."""
    known = e.risk_state.truth
    minimum = ("min={} unresolved=0", e.limits.min_truth_score)
    if e.risk_state.mirror_problem:
        return REJECT, Reason.UNRESOLVED_DRIFT, e.risk_state.mirror_problem, minimum, None
    if not known.known or not e.risk_state.reconciled:
        return REJECT, Reason.TRUTH_UNKNOWN, "score=unknown (no clean reconciliation yet)", minimum, None
    value = ("score={} unresolved={}", known.score, known.unresolved)
    if known.unresolved:
        return REJECT, Reason.UNRESOLVED_DRIFT, value, minimum, None
    if known.score < e.limits.min_truth_score:
        return REJECT, Reason.TRUTH_TOO_LOW, value, minimum, None
    return PASS, OK, value, minimum, None


def score(e: Evaluation) -> Outcome:
    """7: the setup's score."""
    value, limit = ("score={}", e.intent.setup_score), ("min={}", e.limits.min_confidence)
    if e.intent.setup_score < e.limits.min_confidence:
        return REJECT, Reason.SCORE_TOO_LOW, value, limit, None
    return PASS, OK, value, limit, None


def entry_orders(e: Evaluation) -> Outcome:
    """18: entry orders open on the symbol, including this one; stops and targets do not count."""
    count = e.risk_state.entries_open(e.intent.symbol) + 1
    value, limit = ("entries={} with this one", count), ("max={}", e.limits.max_entry_orders)
    if count > e.limits.max_entry_orders:
        return REJECT, Reason.ENTRY_ORDERS, value, limit, None
    return PASS, OK, value, limit, None


def opposition(e: Evaluation) -> Outcome:
    """19: no position or entry of another phase on the other side, for the account nets."""
    phase_id = e.intent.phase_id
    buys = e.intent.side is Side.BUY
    for held in (e.symbol.shares, e.symbol.entries):
        for other, quantity in held.items():
            if other != phase_id and (quantity < ZERO) == buys and quantity:
                value = ("{} has {}", other, quantity)
                return REJECT, Reason.OPPOSES_PHASE, value, "no other phase on the other side", None
    return PASS, OK, "none", "no other phase on the other side", None
