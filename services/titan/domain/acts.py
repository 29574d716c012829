"""Rule for the reason of a person's act: the same at both command lines, at Brain and Execution, and in spec.act."""

from __future__ import annotations

import re

from titan.domain.policy_rules import shown

# Without control characters: a reason is printed on other people's terminals.
REASON_PATTERN = r"^[^\x00-\x1f\x7f]+$"
REASON_LONGEST = 200
REASON_ALLOWED = f"1 to {REASON_LONGEST} characters on one line"


def reason_problem(reason: str, field: str) -> str:
    """Describe why ``reason`` is not allowed in ``field``; empty where it is. An act without a reason has none."""
    if not reason or (len(reason) <= REASON_LONGEST and re.fullmatch(REASON_PATTERN, reason)):
        return ""
    if len(reason) > REASON_LONGEST:
        return f"{field}: {len(reason)} characters; allowed are {REASON_ALLOWED}"
    return f"{field}: {shown(reason)} has control characters; allowed are {REASON_ALLOWED}"
