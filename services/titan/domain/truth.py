"""How far Execution may believe its own picture: drifts, and the score they make."""

from __future__ import annotations

import msgspec

from titan.domain.kinds import DriftClass


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
