"""The guards of market and pipeline: 9 volatility, 10 latency, 11 quality, 13 tail, 14 correlation, 20 thinning.

Source: domain.md sections 2, 3 and 7. Each is a small pure function of an
:class:`~titan.risk.evaluation.Evaluation`.
"""

from __future__ import annotations

from titan.domain.enums import Side
from titan.domain.numbers import ONE, ZERO
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_S
from titan.risk.evaluation import OK, PASS, REJECT, SHRINK, Evaluation, Outcome, Raw, scaled


def volatility(e: Evaluation) -> Outcome:
    """9: the stop is wide enough for the volatility over the signal's own timeframe."""
    multiple = e.limits.stop_volatility_multiple
    stop = float(e.stop_fraction)
    if not multiple:
        return PASS, OK, ("stop={}", stop), "no minimum in the policy", None
    measured = e.intent.volatility
    if not measured:
        return REJECT, Reason.STOP_TOO_CLOSE, "volatility=unknown", "the signal's volatility", None
    needed = multiple * measured
    value = ("stop={} volatility={} over {} s", stop, measured, e.intent.timeframe_ns / NS_PER_S)
    limit = ("min={} = {} x volatility", needed, multiple)
    return (PASS, OK, value, limit, None) if stop >= needed else (REJECT, Reason.STOP_TOO_CLOSE, value, limit, None)


def latency(e: Evaluation) -> Outcome:
    """10: the pipeline from market event to decision is fast enough."""
    limits = e.limits
    p95_ns, count = e.risk_state.latency.p95_with(e.now_ns, e.age_ns)
    value = ("p95_ms={} of {} in the last {} s", p95_ns / 1e6, count, limits.latency_window_s)
    limit = limits.latency_limit
    if p95_ns > limits.latency_reject_ns:
        return REJECT, Reason.LATENCY, value, limit, None
    if p95_ns > limits.latency_reduce_ns:
        return scaled(e, limits.parameters.latency_scale, value, ("size x {}", limits.parameters.latency_scale))
    return PASS, OK, value, limit, None


def quality(e: Evaluation) -> Outcome:
    """11: the venue executes well enough; neutral until enough orders have ended."""
    quality_of = e.risk_state.quality
    needed, limit = e.limits.quality_min_orders, e.limits.quality_limit
    if quality_of.orders < needed:
        value: Raw = ("quality=1 assumed: {} of {} orders", quality_of.orders, needed)
        return PASS, OK, value, limit, None
    score = quality_of.score(e.limits.max_slippage)
    value = (
        "quality={} slippage={} rejected={} of {}",
        score,
        quality_of.mean_slippage,
        quality_of.rejected,
        quality_of.orders,
    )
    if score < e.limits.min_execution_quality:
        return REJECT, Reason.EXECUTION_QUALITY, value, limit, None
    return PASS, OK, value, limit, None


def tail(e: Evaluation) -> Outcome:
    """13: tail limits; without an estimate ENFORCEMENT takes the throttle's minimum."""
    throttle = e.limits.tail_throttle
    if throttle is None:
        return PASS, OK, "alpha=unknown (no estimate)", e.limits.tail_limit, None
    return scaled(e, throttle, "alpha=unknown (no estimate)", e.limits.tail_limit)


def correlation(e: Evaluation) -> Outcome:
    """14: an asset is wholly correlated with itself; with any other one the policy assumes correlationUnknown."""
    limits, limit = e.limits, e.limits.correlation_limit
    buys = e.intent.side is Side.BUY
    base = e.symbol.instrument.base
    largest, with_symbol = ZERO, ""
    for held in e.risk_state.exposed:
        exposure = held.net + sum(held.entries.values(), ZERO)
        if not exposure or (exposure > ZERO) is not buys:
            continue
        assumed = ONE if held.instrument.base == base else limits.correlation_unknown
        if assumed > largest:
            largest, with_symbol = assumed, held.instrument.symbol
    if not with_symbol:
        return PASS, OK, "no open exposure in the same direction", limit, None
    value = ("correlation={} with {} (assumed: no estimate)", largest, with_symbol)
    if largest <= limits.max_correlation:
        return PASS, OK, value, limit, None
    if not limits.correlation_penalty:
        return REJECT, Reason.CORRELATION, value, limit, None
    return scaled(e, limits.correlation_penalty, value, ("size x {}", limits.correlation_penalty))


def thinning(e: Evaluation) -> Outcome:
    """20: the factors of the guards before, on the size; on the frequency where less than a lot would be left."""
    notional = e.notional
    assert notional is not None  # guard 3 bounds it
    scale = e.scale
    if scale is ONE:
        return PASS, OK, "size x 1", "", notional
    least = e.least
    if notional * scale >= least:
        e.notional = notional * scale
        return SHRINK, OK, ("size x {}", scale), ("one lot={}", least), e.notional
    before = e.risk_state.frequency.thinned(e.intent.phase_id, e.intent.symbol)
    count = before + scale
    value = ("size x {} is below one lot: {} of 1 setups counted", scale, count)
    if count < ONE:
        e.thinned = count
        return REJECT, Reason.THINNED, value, ("one lot={} at 1", least), ZERO
    e.thinned = count - ONE
    e.notional = least
    return SHRINK, OK, value, ("one lot={} at 1", least), least
