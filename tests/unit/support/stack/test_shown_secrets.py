"""Commands that show a Secret are found in every shape, and a stack has none."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from support.stack.plans import STACK, planned
from support.stack.rendered import rendered
from support.stack.shown_secrets import secrets_in_commands

FROM_SECRET = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}
PLAIN = {"name": "LEVEL", "value": "info"}
SECRETS = [
    {"kind": "Secret", "metadata": {"name": "a"}, "data": {"password": base64.b64encode(b"hush-1").decode()}},
    {"kind": "Secret", "metadata": {"name": "b"}, "stringData": {"password": "hush-2"}},
]


def stateful_set(**container: Any) -> dict[str, Any]:
    one = {"name": "one", **container}
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "server"},
        "spec": {"template": {"spec": {"containers": [one]}}},
    }


@pytest.mark.parametrize(
    ("container", "shown"),
    [
        ({"command": ["server", "--pass", "$(PASSWORD)"], "env": [FROM_SECRET]}, "PASSWORD"),
        ({"args": ["--pass=$(PASSWORD)"], "env": [FROM_SECRET]}, "PASSWORD"),
        ({"command": ["sh", "-c", "exec server --pass ${PASSWORD}"], "env": [FROM_SECRET]}, "PASSWORD"),
        ({"command": ["sh", "-c", "exec server --pass $PASSWORD"], "env": [FROM_SECRET]}, "PASSWORD"),
        ({"args": ["$(URL)"], "env": [FROM_SECRET, {"name": "URL", "value": "titan:$(PASSWORD)@server"}]}, "URL"),
        ({"args": ["$(ANY)"], "env": [PLAIN], "envFrom": [{"secretRef": {"name": "login"}}]}, "ANY"),
        ({"livenessProbe": {"exec": {"command": ["ask", "$(PASSWORD)"]}}, "env": [FROM_SECRET]}, "PASSWORD"),
        ({"lifecycle": {"preStop": {"exec": {"command": ["$(PASSWORD)"]}}}, "env": [FROM_SECRET]}, "PASSWORD"),
        ({"command": ["server", "--pass=hush-1"]}, "a Secret's value"),
        ({"args": ["hush-2"]}, "a Secret's value"),
    ],
)
def test_a_command_that_shows_a_secret_is_found(container: dict[str, Any], shown: str) -> None:
    assert secrets_in_commands([*SECRETS, stateful_set(**container)]) == [f"StatefulSet/server: container one: {shown}"]


def test_a_secret_of_an_init_container_and_of_a_bare_pod_is_found() -> None:
    one = {"name": "one", "args": ["$(PASSWORD)"], "env": [FROM_SECRET]}
    pod = {"kind": "Pod", "metadata": {"name": "bare"}, "spec": {"initContainers": [one], "containers": []}}
    assert secrets_in_commands([pod]) == ["Pod/bare: container one: PASSWORD"]


def test_other_variables_may_stand_in_a_command() -> None:
    container = {"command": ["server", "--level", "$(LEVEL)", "$(UNKNOWN)"], "env": [PLAIN, FROM_SECRET]}
    assert secrets_in_commands([*SECRETS, stateful_set(**container)]) == []
    from_both = {**container, "command": ["$(LEVEL)"], "envFrom": [{"secretRef": {"name": "login"}}]}
    assert secrets_in_commands([stateful_set(**from_both)]) == []


def test_no_pod_of_a_stack_shows_one() -> None:
    phases = STACK.replace("  role: brain\n", "  role: brain\n  databaseSecretRef: {name: brain-db}\n")
    children = rendered(planned(stack=phases)).values()
    assert any("brain-db" in str(child.manifest) for child in children)
    manifests = [{"kind": child.kind, **child.manifest, "metadata": {"name": child.name}} for child in children]
    assert secrets_in_commands(manifests) == []
