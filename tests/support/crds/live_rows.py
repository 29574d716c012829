"""Rows about objects that are there: what an update may not change, and what a status may not hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from support.crds.manifests import ABSENT, BASES, DIGEST, Row

How = Literal["create", "update", "status"]


def _update(description: str, base: str, changes: dict[str, Any], api: str) -> Row:
    return Row(description, base, changes, api, how="update")


UPDATES: list[Row] = [
    _update("a changed rule", "policy", {"spec.rules.maxDailyLoss": "999"}, "spec: Invalid value: rules: cannot be"),
    _update("another symbol", "policy", {"spec.rules.symbols": ["SOL/USDT"]}, "spec: Invalid value: rules: cannot be"),
    _update(
        "another hash of the same beginning",
        "policy",
        {"spec.hash": "sha256:3e1725d5" + "0" * 56},
        "spec: Invalid value: hash: cannot be changed",
    ),
    _update("another act, the same nonce", "policy", {"spec.act.verb": "arm"}, "act: a changed act needs a nonce"),
    _update("the act in another's name", "policy", {"spec.act.by": "eve"}, "act: a changed act needs a nonce"),
    _update("another role", "brain", {"spec.role": "execution"}, "spec: Invalid value: role: cannot be changed"),
    _update("a larger volume", "brain", {"spec.storage.size": "2Gi"}, "storage.size: cannot be changed"),
    _update("no size any more", "papervenue", {"spec.storage": ABSENT}, "storage.size: cannot be changed"),
]

ACCEPTED_UPDATES: list[Row] = [
    _update("a lower ceiling", "policy", {"spec.posture": "HALTED"}, ""),
    _update("a higher ceiling: admission judges it", "policy", {"spec.posture": "ARMED"}, ""),
    _update("another act", "policy", {"spec.act": {"verb": "arm", "nonce": "another-one", "by": "ana"}}, ""),
    _update("no act any more", "policy", {"spec.act": ABSENT}, ""),
    _update("another signature", "policy", {"spec.signature.sequence": 8}, ""),
    _update("another image", "brain", {"spec.image": f"titan@{DIGEST}"}, ""),
    _update("another policy", "brain", {"spec.policyRef": {"name": "other", "hash": DIGEST}}, ""),
    _update("the size that it has", "brain", {"spec.storage.size": "1Gi"}, ""),
    _update("its tables in a database", "brain", {"spec.databaseSecretRef": {"name": "db"}}, ""),
    _update("suspended", "scavenger", {"spec.suspend": True}, ""),
    _update("other parameters", "scavenger", {"spec.parameters.stopBps": "61"}, ""),
]


def _status(base: str, path: str, what: str, value: Any, api: str) -> Row:
    # Messages of the schema's own validation do not name the status.
    says = api if " in body " in api else f"status.{api}"
    return Row(f"{path} {what}", base, {f"status.{path}": value}, says, how="status")


def _in_words(path: str) -> str:
    return path.replace(".0", "[0]")


def _text(base: str, path: str, longest: int) -> Iterator[Row]:
    says = f"{_in_words(path)}: Too long: may not be more than {longest} bytes"
    yield _status(base, path, "too long", "a" * (longest + 1), says)


def _shaped(base: str, path: str, longest: int) -> Iterator[Row]:
    yield _status(base, path, "of another shape", "?", f"{_in_words(path)} in body should match")
    yield from _text(base, path, longest)


def _count(base: str, path: str, highest: int = 2**53 - 1, lowest: int = 0) -> Iterator[Row]:
    yield _status(base, path, "too low", lowest - 1, f"{_in_words(path)} in body should be greater than or equal")
    yield _status(base, path, "too high", highest + 1, f"{_in_words(path)} in body should be less than or equal")


def _word(base: str, path: str) -> Iterator[Row]:
    yield _status(base, path, "another word", "Perhaps", f'{_in_words(path)}: Unsupported value: "Perhaps"')


def _lacks(base: str, path: str, *fields: str) -> Iterator[Row]:
    for field in fields:
        yield _status(base, f"{path}.{field}", "missing", ABSENT, f"{_in_words(path)}.{field}: Required value")


def _conditions(base: str) -> Iterator[Row]:
    (condition,) = BASES[base]["status"]["conditions"]
    many = [{**condition, "type": f"Type{number}"} for number in range(33)]
    yield _status(base, "conditions", "twice", [condition, condition], "conditions[1]: Duplicate value")
    yield _status(base, "conditions", "too many", many, "conditions: Too many: 33: must have at most 32 items")
    at = "conditions.0"
    yield from _shaped(base, f"{at}.type", 128)
    yield from _word(base, f"{at}.status")
    yield from _shaped(base, f"{at}.reason", 128)
    yield from _text(base, f"{at}.message", 2048)
    yield from _shaped(base, f"{at}.lastTransitionTime", 20)
    yield from _count(base, f"{at}.observedGeneration")
    yield from _lacks(base, at, "status", "reason", "message", "lastTransitionTime")


def status_rows() -> list[Row]:
    """Each bound of both kinds' statuses."""
    policy, phase = "policy status", "phase status"
    return [
        *_count(policy, "observedGeneration", lowest=-1),
        *(row for path in ("hash", "inForce.brain", "inForce.execution") for row in _shaped(policy, path, 71)),
        *_shaped(policy, "shortHash", 8),
        *(row for path in ("ceiling", "latch", "inForce") for row in _word(policy, f"posture.{path}")),
        *_text(policy, "posture.acknowledgedBy", 256),
        *_count(policy, "posture.workingOrders"),
        *_count(policy, "posture.openPositions"),
        *_shaped(policy, "equity", 38),
        *_shaped(policy, "drawdown", 38),
        *_count(policy, "truthScore", 100),
        *_word(policy, "riskLevel"),
        *_text(policy, "act.nonce", 64),
        *_word(policy, "act.verb"),
        *_word(policy, "act.outcome"),
        *_text(policy, "act.message", 2048),
        *_lacks(policy, "act", "nonce", "verb", "outcome", "message"),
        *_conditions(policy),
        *_count(phase, "observedGeneration", lowest=-1),
        *_word(phase, "phase"),
        *(row for part in ("current", "lastVerified", "failed") for row in _text(phase, f"revision.{part}", 128)),
        *_shaped(phase, "imageDigest", 71),
        *_shaped(phase, "policyHash", 71),
        *_shaped(phase, "shortHash", 8),
        *_shaped(phase, "allocation", 38),
        *_shaped(phase, "equity", 38),
        *_conditions(phase),
    ]
