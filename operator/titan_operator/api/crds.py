"""Pure: the CustomResourceDefinitions, made of the models: schemas, names, and columns of ``kubectl get``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from titan_operator.api.docstrings import summary
from titan_operator.api.field_types import NAME, PHASE_NAME, PatternRule
from titan_operator.api.names import GROUP, VERSION
from titan_operator.api.resources import ROLES, RiskPolicy, RiskPolicySpec, Spec, TitanPhase
from titan_operator.api.rule_schemas import Schema, described, rule_schema, validation
from titan_operator.api.schemas import model_schema, struct_schema, union_schema
from titan_operator.api.status import RiskPolicyStatus, TitanPhaseStatus
from titan_operator.api.verified_images import VerifiedImages, VerifiedImagesSpec

CATEGORY = "titan"


def crds() -> dict[str, dict[str, Any]]:
    """Return the three definitions by the name of their file."""
    definitions = (risk_policies(), titan_phases(), verified_images())
    return {f"{GROUP}_{crd['spec']['names']['plural']}.yaml": crd for crd in definitions}


def risk_policies() -> dict[str, Any]:
    """Return the definition of RiskPolicy."""
    schema = _object(RiskPolicy, described(model_schema(RiskPolicySpec), summary(RiskPolicySpec)), NAME)
    schema["properties"]["status"] = _status(RiskPolicyStatus)
    schema["x-kubernetes-validations"] = [
        validation(check.cel, check.message) for check in RiskPolicy.checks if check.cel is not None
    ]
    columns = (
        _column("Posture", ".status.posture.inForce", "The posture in force: how much the stack may do."),
        _column("Ceiling", ".spec.posture", "The highest posture allowed."),
        *_READINESS,
        _column("Equity", ".status.equity", "Equity of the account, USDT."),
        _column("Policy", ".status.shortHash", "First eight digits of the hash."),
        _AGE,
        _column("Risk", ".status.riskLevel", "The automatic risk level.", priority=1),
        _column("Message", _condition("message"), "Reason of Ready, as a sentence.", priority=1),
    )
    return _crd("RiskPolicy", ("riskpolicy", "riskpolicies"), ("rp",), schema, columns)


def titan_phases() -> dict[str, Any]:
    """Return the definition of TitanPhase."""
    roles = dict(zip(ROLES, get_args(Spec), strict=True))
    spec = described(union_schema(roles, "role"), "Role and settings of the process.")
    schema = _object(TitanPhase, spec, PHASE_NAME)
    schema["properties"]["status"] = _status(TitanPhaseStatus)
    columns = (
        _column("Role", ".spec.role", "Role of the process."),
        _column("Mode", ".spec.mode", "paper, shadow or live."),
        *_READINESS,
        _column("Allocation", ".status.allocation", "Capital that Brain allots to it, USDT."),
        _column("Policy", ".status.shortHash", "First eight digits of the running policy's hash."),
        _AGE,
        _column("Phase", ".status.phase", "Stage of its life.", priority=1),
        _column("Revision", ".status.revision.current", "The running revision.", priority=1),
        _column("Message", _condition("message"), "Reason of Ready, as a sentence.", priority=1),
    )
    return _crd("TitanPhase", ("titanphase", "titanphases"), ("tp",), schema, columns)


def verified_images() -> dict[str, Any]:
    """Return the definition of VerifiedImages: cluster-scoped, without a status."""
    schema = _object(VerifiedImages, described(struct_schema(VerifiedImagesSpec), summary(VerifiedImagesSpec)), NAME)
    crd = _crd("VerifiedImages", ("verifiedimages", "verifiedimages"), (), schema, (_AGE,))
    crd["spec"]["scope"] = "Cluster"
    del crd["spec"]["names"]["categories"]  # it is the cluster's, not a stack's
    del crd["spec"]["versions"][0]["subresources"]
    return crd


def _object(model: type, spec: Schema, name: PatternRule) -> Schema:
    return {
        "description": summary(model),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this kind."},
            "kind": {"type": "string", "description": "The kind of this object."},
            # The API server allows nothing but the name to be bounded here.
            "metadata": {"type": "object", "properties": {"name": rule_schema(name)}},
            "spec": spec,
        },
    }


def _status(model: type) -> Schema:
    # Without this default kstatus (helm --wait) takes an object that the operator has not yet seen for ready. Source:
    # Flux's kinds have the same default.
    schema = described(struct_schema(model), summary(model))
    schema["properties"]["observedGeneration"]["minimum"] = -1
    schema["default"] = {"observedGeneration": -1}
    return schema


def _crd(
    kind: str, names: tuple[str, str], short: Sequence[str], schema: Schema, columns: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    singular, plural = names
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "singular": singular,
                "plural": plural,
                **({"shortNames": list(short)} if short else {}),
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [dict(column) for column in columns],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _column(name: str, path: str, description: str, *, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def _condition(part: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{part}'


_READINESS = (
    _column("Ready", _condition("status"), "Whether it works as specified."),
    _column("Reason", _condition("reason"), "Reason of Ready, in one word."),
)
_AGE = _column("Age", ".metadata.creationTimestamp", "Time since its creation.", kind="date")
