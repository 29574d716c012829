"""Proof that Execution's account equals the venue's: drifts, and the score they make."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from titan.domain.enums import DriftClass
from titan.domain.time import NS_PER_S

FULL_SCORE = 100
PLAIN_COST = 20
CRITICAL_COST = 40
CLEAN_GAIN = 5
# Without any authenticated answer for longer than this, a point is lost each second.
SILENCE_GRACE_NS = 10 * NS_PER_S
CRITICAL = frozenset({DriftClass.GHOST, DriftClass.UNTRACKED, DriftClass.POLICY_HASH})
SIZE_TOLERANCE_FRACTION = Decimal("0.001")
SIZE_TOLERANCE = Decimal("0.0001")


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One disagreement between journal, shadow state and venue."""

    drift_class: DriftClass
    symbol: str
    ours: str
    venues: str
    resolved: bool = False
    repair: str = ""


class TruthSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """``score`` 0-100; means nothing until ``known`` (the first clean pass)."""

    known: bool
    score: int = 0
    drifts: tuple[Drift, ...] = ()
    unresolved: int = 0
    ours_sha256: str = ""
    venues_sha256: str = ""
    market_time_ns: int = 0
    passes: int = 0


UNKNOWN_TRUTH = TruthSnapshot(known=False)


def after_pass(
    truth: TruthSnapshot, drifts: Sequence[Drift], ours_sha256: str, venues_sha256: str, market_time_ns: int
) -> TruthSnapshot:
    """The truth after a pass of reconciliation that could compare everything.

    Parameters
    ----------
    truth
        Before.
    drifts
        The drifts of the pass, each with its repair.
    ours_sha256, venues_sha256
        Evidence: digests of both sides.
    market_time_ns
        Market time of the pass.
    """
    known, score = truth.known, truth.score
    if not drifts:
        score = min(FULL_SCORE, score + CLEAN_GAIN) if known else FULL_SCORE
        known = True
    elif known:
        cost = sum(CRITICAL_COST if drift.drift_class in CRITICAL else PLAIN_COST for drift in drifts)
        score = max(0, score - cost)
    return TruthSnapshot(
        known=known,
        score=score,
        drifts=tuple(drifts),
        unresolved=sum(not drift.resolved for drift in drifts),
        ours_sha256=ours_sha256,
        venues_sha256=venues_sha256,
        market_time_ns=market_time_ns,
        passes=truth.passes + 1,
    )


def after_drift(truth: TruthSnapshot, drift: Drift) -> TruthSnapshot:
    """The truth after a drift that was found and repaired between two passes."""
    return msgspec.structs.replace(
        truth, score=max(0, truth.score - PLAIN_COST) if truth.known else truth.score, drifts=(drift,)
    )


def points_lost_to_silence(silent_ns: int) -> int:
    """Points lost in a stretch of ``silent_ns`` nanoseconds (machine's clock) without any authenticated answer."""
    return max(0, (silent_ns - SILENCE_GRACE_NS) // NS_PER_S)


def after_silence(truth: TruthSnapshot, points: int) -> TruthSnapshot:
    """The truth after losing ``points`` to silence."""
    if points <= 0 or not truth.known:
        return truth
    return msgspec.structs.replace(truth, score=max(0, truth.score - points))


def sizes_differ(ours: Decimal, venues: Decimal) -> bool:
    """Whether two sizes of one position (base units) differ by more than rounding: over 0.1 % and over 1e-4."""
    difference = abs(ours - venues)
    return difference > SIZE_TOLERANCE and difference > SIZE_TOLERANCE_FRACTION * max(abs(ours), abs(venues))


def classify_position(symbol: str, ours: Decimal, venues: Decimal, minimum: Decimal) -> Drift | None:
    """Compare one position (signed base units); below ``minimum`` is zero.

    Returns
    -------
    Drift or None
        GHOST when only we have it, UNTRACKED when only the venue has it, SIZE_MISMATCH when both differ.
    """
    we_have, venue_has = abs(ours) >= minimum, abs(venues) >= minimum
    if we_have and not venue_has:
        kind = DriftClass.GHOST
    elif venue_has and not we_have:
        kind = DriftClass.UNTRACKED
    elif we_have and sizes_differ(ours, venues):
        kind = DriftClass.SIZE_MISMATCH
    else:
        return None
    return Drift(drift_class=kind, symbol=symbol, ours=str(ours), venues=str(venues))
