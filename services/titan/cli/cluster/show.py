"""Pure: a stack view as lines, rows and one document; unknown values are shown as unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from titan.cli.cluster.stack_view import Item, StackView
from titan.cli.output import UNKNOWN, Column, counted, number, percent, truth_score, usdt
from titan.domain.policy import PolicyError, parse_rules
from titan.domain.policy_enforcement import gaps, gaps_line

UNKNOWN_WORD = "unknown"
PHASE_COLUMNS = (
    Column("PHASE"),
    Column("ROLE"),
    Column("MODE"),
    Column("READY"),
    Column("REASON", wrap=True),
    Column("EQUITY", right=True),
    Column("POLICY"),
    Column("AGE", right=True),
)


def summary(stack_view: StackView) -> list[str]:
    """Describe each pinned policy in a few lines: posture, risk, equity and the last act."""
    pins = stack_view.pins
    policies = [item for item in stack_view.policies if item.name in pins]
    missing = sorted(set(pins) - {item.name for item in policies})
    lines = [f"stack     namespace {stack_view.namespace}, {_pinned(stack_view)}"]
    for policy in policies:
        lines += [_posture(policy), *_enforcement(policy), _risk(policy), _equity(policy), *_act(policy)]
    return lines + [f"policy    {name} is pinned by {', '.join(pins[name])}, but does not exist" for name in missing]


def _pinned(stack_view: StackView) -> str:
    pins = stack_view.pins
    if not pins:
        return "no policy is pinned"
    if len(pins) == 1:
        return f"policy {next(iter(pins))}"
    differing = "; ".join(f"{name} by {', '.join(phases)}" for name, phases in sorted(pins.items()))
    return f"POLICIES DIFFER, so CLOSE_ONLY: {differing}"


def _posture(policy: Item) -> str:
    posture = policy.at("status", "posture") or {}

    def word(key: str) -> str:
        return str(posture.get(key) or UNKNOWN_WORD)

    text = (
        f"{word('inForce')}: ceiling {posture.get('ceiling') or policy.text('spec', 'posture')}, latch {word('latch')}"
    )
    if by := posture.get("acknowledgedBy"):
        text += f", acknowledged by {by}"
    return f"posture   {text}; {counts(policy)}"


def counts(policy: Item) -> str:
    """Describe working orders and open positions, as Execution last reported them."""
    working, positions = (policy.at("status", "posture", key) for key in ("workingOrders", "openPositions"))
    orders = counted(UNKNOWN_WORD if working is None else working, "working order")
    return f"{orders}, {counted(UNKNOWN_WORD if positions is None else positions, 'open position')}"


def _enforcement(policy: Item) -> list[str]:
    open_rules = not_enforced(policy)
    if open_rules is None:
        return []
    return [f"policy    {gaps_line(open_rules) or 'every rule is enforced'}"]


def not_enforced(policy: Item) -> list[str] | None:
    """List the rules that nothing enforces; None where the rules cannot be read."""
    rules = policy.at("spec", "rules")
    try:
        return [gap.rule for gap in gaps(parse_rules(rules))] if isinstance(rules, dict) else None
    except PolicyError:
        return None


def _risk(policy: Item) -> str:
    score = policy.text("status", "truthScore")
    truth = truth_score(score) if score else f"truth score {UNKNOWN_WORD}"
    return f"risk      level {policy.text('status', 'riskLevel') or UNKNOWN_WORD}, {truth}"


def _equity(policy: Item) -> str:
    equity, drawdown = policy.text("status", "equity"), policy.text("status", "drawdown")
    if not equity:
        return f"equity    {UNKNOWN_WORD}"
    return f"equity    {usdt(equity, 2)}, drawdown {_percent(drawdown)}"


def _percent(fraction: str) -> str:
    try:
        return percent(str(Decimal(fraction))) if fraction else UNKNOWN_WORD
    except InvalidOperation:
        return fraction


def _act(policy: Item) -> list[str]:
    requested, outcome = policy.at("spec", "act"), policy.at("status", "act") or {}
    if not requested:
        return []
    text = f"{requested.get('verb')} by {requested.get('by')}"
    if reason := requested.get("reason"):
        text += f" ({reason})"
    if outcome.get("nonce") != requested.get("nonce"):
        return [f"act       {text}: not acknowledged yet"]
    message = outcome.get("message")
    return [f"act       {text}: {outcome.get('outcome')}" + (f", {message}" if message else "")]


def phase_rows(stack_view: StackView, now: datetime) -> list[tuple[str, ...]]:
    """Make cells of :data:`PHASE_COLUMNS`; EQUITY is in USDT, of a strategy its allocation."""
    return [_row(stack_view, item, now) for item in stack_view.phases]


def _row(stack_view: StackView, item: Item, now: datetime) -> tuple[str, ...]:
    ready = item.condition("Ready")
    state = ready.status if ready is not None else "Unknown"
    reason = ready.reason if ready is not None else "NotSeen"
    if not item.observed:
        state, reason = "Unknown", "NotSeen"
    if item.deleting and reason not in ("Draining", "Terminating"):
        reason = f"{reason}, being deleted"
    return (
        item.name,
        item.text("spec", "role"),
        item.text("spec", "mode") or UNKNOWN,
        state,
        reason,
        _equity_cell(stack_view, item),
        item.text("spec", "policyRef", "hash").removeprefix("sha256:")[:8] or UNKNOWN,
        age(item.text("metadata", "creationTimestamp"), now),
    )


def _equity_cell(stack_view: StackView, item: Item) -> str:
    if allocation := item.text("status", "allocation"):
        return number(allocation, 2)
    if item.text("spec", "role") not in ("brain", "execution"):
        return UNKNOWN
    policy = stack_view.policy(item.text("spec", "policyRef", "name"))
    return number(policy.text("status", "equity"), 2) if policy is not None else UNKNOWN


def age(created: str, now: datetime) -> str:
    """Format an age in its largest unit, like kubectl."""
    if not created:
        return UNKNOWN
    passed = max(now - datetime.fromisoformat(created).astimezone(UTC), timedelta())
    seconds = int(passed.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length or (unit != "m" and seconds >= length):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def document(stack_view: StackView) -> dict[str, Any]:
    """Make the object for JSON and YAML: the resources' own fields, null where unknown."""
    pins = stack_view.pins
    return {
        "namespace": stack_view.namespace,
        "policies": [
            {
                "name": item.name,
                "pinned_by": pins.get(item.name, []),
                "hash": item.at("spec", "hash"),
                "not_enforced": not_enforced(item),
                "posture": item.at("status", "posture"),
                "equity": item.at("status", "equity"),
                "drawdown": item.at("status", "drawdown"),
                "truth_score": item.at("status", "truthScore"),
                "risk_level": item.at("status", "riskLevel"),
                "act": {"asked": item.at("spec", "act"), "answered": item.at("status", "act")},
                "conditions": item.at("status", "conditions"),
            }
            for item in stack_view.policies
        ],
        "phases": [
            {
                "name": item.name,
                "role": item.at("spec", "role"),
                "mode": item.at("spec", "mode"),
                "deleting": item.deleting,
                "observed": item.observed,
                "policy_ref": item.at("spec", "policyRef"),
                "phase": item.at("status", "phase"),
                "allocation": item.at("status", "allocation"),
                "image_digest": item.at("status", "imageDigest"),
                "revision": item.at("status", "revision"),
                "conditions": item.at("status", "conditions"),
            }
            for item in stack_view.phases
        ],
    }
