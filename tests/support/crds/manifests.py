"""Manifests that are as they should be, and how a row of a table changes one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

ROOT = Path(__file__).resolve().parents[3]
ABSENT = object()
DIGEST = f"sha256:{'a' * 64}"
NOW = "2026-01-02T03:04:05Z"
TIME = "2027-01-31T00:00:00Z"


def _phases() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((ROOT / "examples" / "quickstart.yaml").read_text())
    return {document["metadata"]["name"]: document for document in documents}


def changed(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with other values: by path (dots between keys and positions); ABSENT takes a field away."""
    made: dict[str, Any] = copy.deepcopy(dict(manifest))
    for path, value in changes.items():
        *parents, last = path.split(".")
        at: Any = made
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
        if value is ABSENT:
            del at[last]
        elif isinstance(at, list):
            at[int(last)] = copy.deepcopy(value)
        else:
            at[last] = copy.deepcopy(value)
    return made


_POLICY = yaml.safe_load((ROOT / "policies" / "demo.yaml").read_text())
_QUICKSTART = _phases()
_IMAGES = {
    "apiVersion": "titan.trading/v1alpha1",
    "kind": "VerifiedImages",
    "metadata": {"name": "titan"},
    "spec": {
        "images": [
            {
                "digest": DIGEST,
                "image": "registry/titan",
                "verifiedBy": "release key",
                "verifiedAt": NOW,
                "trustPolicy": DIGEST,
            }
        ],
        "infrastructure": [{"digest": DIGEST, "image": "registry/postgresql", "trustPolicy": DIGEST}],
        "revoked": [
            {
                "digest": DIGEST,
                "image": "registry/titan",
                "message": "its key was stolen",
                "revokedAt": NOW,
                "trustPolicy": DIGEST,
            }
        ],
    },
}
_APPROVAL = {"reference": "change 7", "approvedBy": "ana", "expires": TIME}
_ACT = {"verb": "halt", "nonce": "nonce-0001", "by": "ana", "reason": "lunch"}
_SIGNATURE = {"bundle": '{"mediaType": "x"}', "account": "main", "sequence": 7}
_AMOUNTS = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "InForce",
    "message": "all is well",
    "lastTransitionTime": NOW,
    "observedGeneration": 1,
}
_POLICY_STATUS = {
    "observedGeneration": 1,
    "hash": DIGEST,
    "shortHash": "a" * 8,
    "posture": {
        "ceiling": "ARMED",
        "latch": "HALTED",
        "inForce": "HALTED",
        "acknowledgedBy": "execution",
        "workingOrders": 1,
        "openPositions": 2,
    },
    "inForce": {"brain": DIGEST, "execution": DIGEST},
    "equity": "200.5",
    "drawdown": "0.01",
    "truthScore": 100,
    "riskLevel": "NORMAL",
    "act": {"nonce": "nonce-0001", "verb": "halt", "outcome": "Done", "message": "halted"},
    "conditions": [_CONDITION],
}
_PHASE_STATUS = {
    "observedGeneration": 1,
    "phase": "Ready",
    "revision": {"current": "a", "lastVerified": "b", "failed": "c"},
    "imageDigest": DIGEST,
    "policyHash": DIGEST,
    "shortHash": "a" * 8,
    "allocation": "100",
    "equity": "200",
    "conditions": [_CONDITION],
}

# Every field that a kind has stands in one of them, so that each can be broken.
BASES: dict[str, dict[str, Any]] = {
    "policy": changed(_POLICY, {"spec.act": _ACT, "spec.signature": _SIGNATURE}),
    "marketdata": changed(_QUICKSTART["marketdata"], {"spec.suspend": True, "spec.resources": _AMOUNTS}),
    "replay": changed(
        _QUICKSTART["marketdata"],
        {
            "spec.parameters": {
                "source": "replay",
                "files": ["/data/a.gz"],
                "speed": "max",
                "stepMs": 0,
                "durationS": 60,
            }
        },
    ),
    "papervenue": changed(_QUICKSTART["papervenue"], {"spec.storage": {"size": "2Gi"}}),
    "execution": changed(
        _QUICKSTART["execution"],
        {"spec.secretRef": {"name": "keys"}, "spec.databaseSecretRef": {"name": "db"}, "spec.storage.size": "1Gi"},
    ),
    "brain": changed(
        _QUICKSTART["brain"],
        {"spec.onDelete": "Flatten", "spec.imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}]},
    ),
    "scavenger": _QUICKSTART["scavenger"],
    "images": _IMAGES,
    "policy status": changed(_POLICY, {"status": _POLICY_STATUS}),
    "phase status": changed(_QUICKSTART["brain"], {"status": _PHASE_STATUS}),
}
APPROVED = {"spec.rules.liveApproval": _APPROVAL}


@dataclass(frozen=True)
class Row:
    """A manifest that breaks one rule.

    Attributes
    ----------
    base
        Which of :data:`BASES` is changed.
    changes
        By path (dots between keys and positions): what is put there; ABSENT takes it away.
    api
        What the API server's refusal says, as ``field: message``, in part.
    sentence
        What the reading of files says, in part; empty where the reading knows no such rule (a status, an update).
    how
        ``update`` and ``status`` are for an object that is there as its base.
    """

    description: str
    base: str
    changes: Mapping[str, Any]
    api: str
    sentence: str = ""
    how: Literal["create", "update", "status"] = "create"

    @property
    def manifest(self) -> dict[str, Any]:
        """The changed manifest."""
        return changed(self.before, self.changes)

    @property
    def before(self) -> dict[str, Any]:
        """Its base; under a name of its own where the object is there."""
        base = BASES[self.base]
        return (
            base if self.how == "create" else changed(base, {"metadata.name": f"{self.how}-{base['metadata']['name']}"})
        )

    def __str__(self) -> str:
        return f"{self.base}: {self.description}"
