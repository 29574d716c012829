"""Drift of a running stack is reverted and reported; certificates are renewed while it runs."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yaml

from support.cluster.installation import PHASES, ROOT, SYSTEM, Installation
from support.cluster.processes import kill_operator, passes
from support.cluster.running_stack import QUICK, RunningStack
from titan.runtime.topology import ROLES
from titan_operator.api.names import DEFAULT_DENY

# Half of it is a certificate's time before it is renewed.
LIFETIME_S = 30
# The API server lets this identity write workloads, as it must: a cluster's own controller is a hand that admission
# cannot refuse.
CONTROLLER = "system:serviceaccount:kube-system:deployment-controller"


@contextmanager
def _certificates_last(at: Installation, seconds: int) -> Iterator[None]:
    """Upgrade the operator, and roll back. So short a time values.schema.json does not allow people."""
    wait = ("-n", SYSTEM, "--wait", "--timeout", "180s")
    at.plane.helm(
        *("upgrade", "titan", str(ROOT / "charts" / "titan"), *wait, "--reuse-values", "--skip-schema-validation"),
        *("--set", f"settings.certificateLifetimeSeconds={seconds}"),
    )
    yield
    at.plane.helm("rollback", "titan", *wait)


@dataclass(frozen=True)
class Begun:
    """The stack, and what it was made of when it was first ready."""

    stack: RunningStack
    pods: dict[str, str]
    certificates: dict[str, str]


@pytest.fixture(scope="module")
def begun(quick: RunningStack) -> Begun:
    """The quick start."""
    return Begun(quick, _processes(quick), _certificates(quick))


def _processes(stack: RunningStack) -> dict[str, str]:
    """Which container of which pod runs, by role: another one after each restart."""
    return {role: pod["status"]["containerStatuses"][0]["containerID"] for role, pod in stack.pods().items()}


def _certificates(stack: RunningStack) -> dict[str, str]:
    """Certificates in Secrets, as PEM, by phase."""
    return {
        name: base64.b64decode(stack.at.get("secret", f"{name}-tls", stack.namespace)["data"]["cert.pem"]).decode()
        for name in PHASES
    }


def _shown(stack: RunningStack, role: str) -> str:
    """The certificate that a process shows to who connects to it, as PEM."""
    address = stack.pods()[role]["status"]["podIP"]
    return ssl.get_server_certificate((address, ROLES[role].grpc_port), timeout=30.0)


def _shows_another(stack: RunningStack, role: str, than: dict[str, str]) -> bool:
    return ssl.PEM_cert_to_DER_cert(_shown(stack, role)) != ssl.PEM_cert_to_DER_cert(than[role])


def _others(stack: RunningStack, than: dict[str, str]) -> bool:
    now = _certificates(stack)
    return all(now[name] != than[name] for name in PHASES)


def test_certificates_are_renewed_while_everything_runs(begun: Begun) -> None:
    stack, at = begun.stack, begun.stack.at
    with _certificates_last(at, LIFETIME_S):
        at.wait("those of a day are renewed", partial(_others, stack, begun.certificates))
        first = _certificates(stack)
        at.wait("new certificates of all at half of their time", partial(_others, stack, first))
        for role in ("execution", "brain", "papervenue"):
            at.wait(f"{role} shows its new certificate", partial(_shows_another, stack, role, first))
        # A process that begins now knows nobody yet: an operator that connects anew, and a phase that asks Brain.
        kill_operator(at)
        at.runner.kill(QUICK, stack.pods()["scavenger"]["metadata"]["name"])
        at.wait("scavenger again", lambda: _processes(stack)["scavenger"] != begun.pods["scavenger"])
        passes(at, QUICK)
        at.wait_ready(QUICK)
        now = _processes(stack)
        assert {role for role in now if now[role] != begun.pods[role]} == {"scavenger"}
        status = at.policy(QUICK)["status"]
        assert (status["posture"]["acknowledgedBy"], status["truthScore"]) == ("execution", 100)
        assert status["inForce"]["brain"] == status["inForce"]["execution"] == status["hash"]


Act = Callable[[Installation], None]


def _replace(kind: str, name: str, change: Callable[[dict[str, Any]], None], *flags: str) -> Act:
    def act(at: Installation) -> None:
        found = at.get(kind, name, QUICK)
        # Between reading and writing the operator may have written.
        del found["metadata"]["resourceVersion"]
        change(found)
        at.plane.kubectl("replace", "-n", QUICK, "-f", "-", *flags, stdin=yaml.safe_dump(found))

    return act


def _delete(*what: str) -> Act:
    def act(at: Installation) -> None:
        at.plane.kubectl("delete", *what, "-n", QUICK)

    return act


def _as_controller(name: str, change: Callable[[dict[str, Any]], None]) -> Act:
    return _replace("deployment", name, change, f"--as={CONTROLLER}")


def _set_port(service: dict[str, Any]) -> None:
    service["spec"]["ports"][0]["port"] = 9999


def _open(policy: dict[str, Any]) -> None:
    policy["spec"]["ingress"].append({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})


def _add_variable(deployment: dict[str, Any]) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "TITAN_LOG_LEVEL", "value": "debug"})


def _rules(at: Installation) -> None:
    (name,) = {
        item["metadata"]["name"]
        for item in at.list("configmaps", QUICK)
        if item["metadata"]["name"].startswith("policy-")
    }
    at.plane.kubectl("delete", "configmap", name, "-n", QUICK)


# What a hand does, about which resource it is told (empty: about the policy), and what the Event names.
HANDS: list[tuple[str, Act, str, tuple[str, ...]]] = [
    (
        "a Deployment is scaled",
        _as_controller("marketdata", lambda found: found["spec"].update(replicas=0)),
        "marketdata",
        ("Deployment marketdata was changed", "spec.replicas: wanted 1, found 0"),
    ),
    (
        "a Deployment's template is edited",
        _as_controller("scavenger", _add_variable),
        "scavenger",
        ("Deployment scavenger was changed", "env", "kubectl-replace"),
    ),
    (
        "a Service's port is changed",
        _replace("service", "brain", _set_port),
        "brain",
        ("Service brain was changed", "spec.ports[3110]"),
    ),
    ("a Service is deleted", _delete("service", "marketdata"), "marketdata", ("Service marketdata was deleted",)),
    ("a ConfigMap is deleted", _delete("configmap", "brain-live"), "brain", ("ConfigMap brain-live was deleted",)),
    ("the policy's rules are deleted", _rules, "", ("ConfigMap policy-", "was deleted")),
    (
        "a NetworkPolicy is opened",
        _replace("networkpolicy", "execution", _open),
        "execution",
        ("NetworkPolicy execution was changed", "spec.ingress", "kubectl-replace"),
    ),
    (
        "the default of all traffic is deleted",
        _delete("networkpolicy", DEFAULT_DENY),
        "",
        (f"NetworkPolicy {DEFAULT_DENY} was deleted",),
    ),
]


def _made_of(stack: RunningStack) -> dict[tuple[str, str], str]:
    """Everything that the stack is made of, as JSON, without what changes with each write."""
    kinds = "deployments,statefulsets,services,configmaps,networkpolicies,serviceaccounts"
    found = {}
    for item in stack.at.list(kinds, stack.namespace):
        kept = {key: value for key, value in item.items() if key not in ("status", "metadata")}
        kept["spec"] = {key: value for key, value in item.get("spec", {}).items() if not key.startswith("clusterIP")}
        metadata = item["metadata"]
        # The cluster's controllers count their own rollouts there.
        annotations = {key: value for key, value in metadata.get("annotations", {}).items() if "titan" in key}
        kept["metadata"] = {"labels": metadata.get("labels"), "annotations": annotations}
        found[(item["kind"], metadata["name"])] = json.dumps(kept, sort_keys=True)
    return found


def _told(stack: RunningStack, about: str) -> list[str]:
    """Notes of the Events of drift about a resource."""
    events = stack.at.list("events.events.k8s.io", stack.namespace)
    return [item["note"] for item in events if item["reason"] == "Drifted" and item["regarding"]["name"] == about]


@pytest.mark.parametrize(("act", "about", "named"), [row[1:] for row in HANDS], ids=[row[0] for row in HANDS])
def test_what_another_hand_did_is_put_back_and_told(begun: Begun, act: Act, about: str, named: tuple[str, ...]) -> None:
    stack, at = begun.stack, begun.stack.at
    at.wait_ready(QUICK)
    about = about or at.policy(QUICK)["metadata"]["name"]
    before, told = _made_of(stack), _told(stack, about)
    act(at)

    def news() -> list[str]:
        return [note for note in _told(stack, about) if note not in told]

    at.wait("an Event", news)
    (note,) = news()
    for part in named:
        assert part in note
    at.wait("all as it was", lambda: _made_of(stack) == before)
    at.wait_ready(QUICK)
    # It is not fought over: a few passes on, nothing more is said.
    passes(at, QUICK)
    assert (news(), _made_of(stack) == before) == ([note], True)


REFUSED = [
    ("scaled by an administrator", ("scale", "deployment", "marketdata", "--replicas=0"), "suspend the TitanPhase"),
    (
        "edited by an administrator",
        ("set", "env", "deployment/scavenger", "TITAN_LOG_LEVEL=debug"),
        "change the TitanPhase",
    ),
    (
        "the ceiling that a file tells Brain raised",
        ("patch", "configmap", "brain-live", "--type=merge", "-p", '{"data":{"posture_ceiling":"ARMED"}}'),
        "change those",
    ),
    (
        "rules made others",
        (
            "patch",
            "riskpolicy",
            "demo-3e1725d5",
            "--type=merge",
            "-p",
            '{"spec":{"rules":{"maxAccountLeverage":"99"}}}',
        ),
        "spec.rules",
    ),
]


@pytest.mark.parametrize(("command", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_most_hands_are_refused_before_anything_happens(begun: Begun, command: tuple[str, ...], said: str) -> None:
    before = _made_of(begun.stack)
    refused = begun.stack.at.plane.kubectl(*command, "-n", QUICK, check=False)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert _made_of(begun.stack) == before


def test_deleted_with_nothing_open_it_is_gone(begun: Begun) -> None:
    begun.stack.delete("titan", "--all")
    begun.stack.at.wait("the end of all", begun.stack.gone)
