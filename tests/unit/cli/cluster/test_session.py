"""What the API server's refusals say to a person, and which exit code they are."""

from __future__ import annotations

from typing import Any

import pytest

from titan.cli.cluster.session import Cluster, refusal
from titan.cli.errors import CommandError, Refused, Unreachable
from titan_operator.cluster.errors import ApiError
from titan_operator.cluster.errors import Unreachable as NoAnswer
from titan_operator.cluster.resource_kinds import RISK_POLICY

DENIED = (
    "riskpolicies.titan.trading \"demo\" is forbidden: ValidatingAdmissionPolicy 'titan-loosening' with binding "
    "'titan-loosening' denied request: ana may not arm"
)


class Answers:
    """An API whose every call ends in one error, or finds nothing."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def get(self, *_: object, **__: object) -> None:
        if self._error is not None:
            raise self._error

    list = apply = create = get


def cluster(error: Exception | None) -> Cluster:
    api: Any = Answers(error)
    return Cluster(api, "desk")


@pytest.mark.parametrize(
    ("description", "error", "message"),
    [
        ("admission", ApiError(422, "Invalid", DENIED), "refused by admission: ana may not arm"),
        ("RBAC", ApiError(403, "Forbidden", 'User "eve" cannot list'), 'User "eve" cannot list'),
        ("a schema", ApiError(422, "Invalid", "spec.act.reason: Too long"), "spec.act.reason: Too long"),
        (
            "no CRDs",
            ApiError(404, "", "404 page not found"),
            "the cluster knows no titan.trading resources: install the titan chart, or `kubectl apply -f crds/`",
        ),
        (
            "credentials",
            ApiError(401, "Unauthorized", "Unauthorized"),
            "the API server does not accept these credentials: Unauthorized",
        ),
    ],
)
async def test_refusals(description: str, error: ApiError, message: str) -> None:
    assert refusal(error) == message
    for call in (
        cluster(error).stack_view(),
        cluster(error).set_field(RISK_POLICY, "demo", {}),
        cluster(error).user_name(),
    ):
        with pytest.raises(Refused) as raised:
            await call
        assert str(raised.value) == message


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("overloaded", ApiError(429, "TooManyRequests", "later")),
        ("in trouble", ApiError(503, "ServiceUnavailable", "etcd is away")),
        ("gone", NoAnswer("GET /apis: https://127.0.0.1:1: refused")),
    ],
)
async def test_transient_errors_are_unreachable(description: str, error: Exception) -> None:
    for call in (
        cluster(error).stack_view(),
        cluster(error).get(RISK_POLICY, "demo"),
        cluster(error).page("brain", "decisions"),
    ):
        with pytest.raises(Unreachable):
            await call


@pytest.mark.parametrize(
    ("description", "error", "kind", "message"),
    [
        ("no service", None, Refused, "namespace desk has no Service brain"),
        (
            "no page",
            ApiError(404, "", "served here: /health"),
            Refused,
            "brain has no page /decisions: its image is of an earlier version",
        ),
        ("not allowed", ApiError(403, "Forbidden", DENIED), Refused, "refused by admission: ana may not arm"),
        (
            "no pod",
            ApiError(503, "ServiceUnavailable", 'no endpoints available for service "brain"'),
            Unreachable,
            'the API server cannot reach brain: no endpoints available for service "brain"',
        ),
    ],
)
async def test_a_page_of_a_process(
    description: str, error: ApiError | None, kind: type[CommandError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        await cluster(error).page("brain", "decisions")
    assert str(raised.value) == message


async def test_absent_object_is_named() -> None:
    with pytest.raises(Refused, match="namespace desk has no RiskPolicy demo"):
        await cluster(None).get(RISK_POLICY, "demo")
