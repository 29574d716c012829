"""The end of FLATTEN: a rule that Brain, the latch and the operator share."""

from __future__ import annotations

from titan.domain.kinds import Posture

# The posture of a finished FLATTEN: the account is closed, and nothing that FLATTEN forbade is allowed again.
FLATTENED = Posture.HALTED


def resolve_flatten(posture: Posture, finished: bool) -> Posture:
    """Return ``posture``, or HALTED for a ``finished`` FLATTEN, which must not begin again."""
    return FLATTENED if finished and posture is Posture.FLATTEN else posture
