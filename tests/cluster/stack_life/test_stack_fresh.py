"""From nothing to a stack that is ready, as its files are in the repository: what people and their tools see of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from support.cluster.installation import PHASES, SYSTEM, Installation
from support.cluster.processes import OPERATOR_PORT, log_lines, operator_pod, operator_samples, page, passes, total
from support.cluster.running_stack import QUICK, RunningStack
from support.gitops.argo import health
from support.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus

POLICY = "demo-3e1725d5"
UNLISTED = "titan/titan@sha256:" + "9" * 64
# What the two may say of one object at one moment: neither waits where the other is done.
AGREE = {
    ("Healthy", CURRENT),
    ("Suspended", CURRENT),
    ("Progressing", IN_PROGRESS),
    ("Suspended", IN_PROGRESS),
    ("Progressing", TERMINATING),
    ("Degraded", FAILED),
}


class Seen:
    """Every state of a stack's resources that the API server has sent, in order, by name."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / f"{kind}.watched" for kind in ("riskpolicies", "titanphases")]

    @contextmanager
    def watching(self, at: Installation) -> Iterator[Seen]:
        """Watch as ``kubectl get --watch`` does."""
        kubectl = str(at.plane.tools["kubectl"])
        watches = []
        for file in self._files:
            command = [
                kubectl,
                f"--kubeconfig={at.plane.admin}",
                "get",
                file.stem,
                "-n",
                QUICK,
                "-o",
                "json",
                "--watch",
            ]
            with file.open("wb") as output:
                watches.append(subprocess.Popen(command, stdout=output))
        try:
            yield self
        finally:
            for watch in watches:
                watch.terminate()
                watch.wait()

    def states(self) -> dict[str, list[dict[str, Any]]]:
        """Return the states until now."""
        found: dict[str, list[dict[str, Any]]] = {}
        for file in self._files:
            text = file.read_text().strip()
            while text:
                try:
                    state, end = json.JSONDecoder().raw_decode(text)
                except json.JSONDecodeError:
                    # The last one is still being written.
                    break
                found.setdefault(state["metadata"]["name"], []).append(state)
                text = text[end:].lstrip()
        return found

    def healths(self) -> dict[str, list[tuple[str, str]]]:
        """Return the health of each by Argo CD and Flux."""
        return {name: [(health(one)[0], kstatus(one)[0]) for one in states] for name, states in self.states().items()}


@pytest.fixture(scope="module")
def seen(at: Installation, request: pytest.FixtureRequest) -> Iterator[Seen]:
    """The stack: applied as a newcomer does it, and watched from before that on."""
    with Seen(at.folder).watching(at) as watched:
        request.getfixturevalue("quick")
        yield watched


def _rows(text: str) -> dict[str, dict[str, str]]:
    """Cells of both tables of ``kubectl get titan``, by name and heading; a cell may be empty."""
    rows: dict[str, dict[str, str]] = {}
    for table in text.strip().split("\n\n"):
        heading, *lines = table.splitlines()
        names = heading.split()
        starts = [heading.index(name) for name in names]
        ends = [*starts[1:], None]
        for line in lines:
            cells = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
            rows[cells[0].partition("/")[2]] = dict(zip(names, cells, strict=True))
    return rows


@pytest.mark.usefixtures("seen")
def test_kubectl_get_shows_a_stack_that_is_ready(at: Installation) -> None:
    rows = _rows(at.plane.kubectl("get", "titan", "-n", QUICK).stdout)
    policy = rows.pop(POLICY)
    assert policy.pop("AGE")
    assert policy == {
        "NAME": f"riskpolicy.titan.trading/{POLICY}",
        "POSTURE": "CLOSE_ONLY",
        "CEILING": "ARMED",
        "READY": "True",
        "REASON": "InForce",
        "EQUITY": "200",
        "POLICY": "3e1725d5",
    }
    assert set(rows) == set(PHASES)
    for name, row in rows.items():
        bound = name in ("execution", "brain", "scavenger")
        assert (row["ROLE"], row["READY"], row["REASON"]) == (name, "True", "Running")
        assert (row["MODE"], row["POLICY"]) == (("paper", "3e1725d5") if bound else ("", ""))
        assert row["ALLOCATION"] == ("200" if name == "scavenger" else "")
        assert row["AGE"]


def test_argo_cd_and_flux_saw_it_start_and_become_ready(seen: Seen) -> None:
    healths = seen.healths()
    assert set(healths) == {POLICY, *PHASES}
    for name, states in healths.items():
        assert set(states) <= AGREE, name
        assert states[0] == ("Progressing", IN_PROGRESS), name
        assert states[-1] == ("Healthy", CURRENT), name
        # The policy that is right from the start is never said to be broken.
        assert ("Degraded", FAILED) not in states, name


def test_what_is_refused_is_degraded_until_it_is_put_right(seen: Seen, at: Installation) -> None:
    stack = RunningStack(at, QUICK)
    right = at.get("titanphase", "scavenger", QUICK)["spec"]["image"]
    stack.patch("scavenger", {"image": UNLISTED})
    at.wait("a refusal", lambda: seen.healths()["scavenger"][-1] == ("Degraded", FAILED))
    assert UNLISTED in health(seen.states()["scavenger"][-1])[1]
    refusals = operator_samples(at)
    assert total(refusals, "titan_operator_refusals_total", namespace=QUICK, gate="ImageVerified") >= 1
    stack.patch("scavenger", {"image": right})
    at.wait("the end of the refusal", lambda: seen.healths()["scavenger"][-1] == ("Healthy", CURRENT))
    stack.patch("scavenger", {"suspend": True})
    at.wait("its suspension", lambda: seen.healths()["scavenger"][-1] == ("Suspended", CURRENT))
    stack.patch("scavenger", {"suspend": False})
    at.wait("its return", lambda: seen.healths()["scavenger"][-1] == ("Healthy", CURRENT))
    assert all(set(states) <= AGREE for states in seen.healths().values())


@pytest.mark.usefixtures("seen")
def test_the_operator_tells_how_it_does(at: Installation) -> None:
    passes(at, QUICK)
    address = operator_pod(at)["status"]["podIP"]
    for path in ("/healthz", "/readyz"):
        status, body = page(address, OPERATOR_PORT, path)
        assert (status, json.loads(body)["status"]) == (HTTPStatus.OK, "ok"), body
    found = operator_samples(at)
    passed = total(found, "titan_operator_reconcile_seconds_count", namespace=QUICK)
    assert passed >= 10
    assert total(found, "titan_operator_reconcile_seconds_sum", namespace=QUICK) > 0
    assert total(found, "titan_operator_leader") == 1
    assert total(found, "titan_operator_reconcile_failures_total") == 0
    # Whatever its value at this moment, it is reported.
    assert ("titan_operator_queue", frozenset()) in found
    for verb in ("get", "list", "apply"):
        assert total(found, "titan_operator_api_calls_seconds_count", verb=verb) > 0, verb
    # The admission probe, which is to be refused: 403 while there is no list yet, 422 for what it does not list.
    assert {"403", "422"} & {
        dict(labels)["code"]
        for name, labels in found
        if name == "titan_operator_api_calls_seconds_count" and dict(labels)["kind"] == "Deployment"
    }
    for kind in ("RiskPolicy", "TitanPhase"):
        assert total(found, "titan_operator_watch_age_seconds", kind=kind) < 10


@pytest.mark.usefixtures("seen")
def test_the_operator_s_logs_name_object_and_generation(at: Installation) -> None:
    lines = log_lines(at, SYSTEM, operator_pod(at)["metadata"]["name"])
    assert all({"event", "level", "timestamp", "role"} <= set(line) for line in lines)
    said = [line for line in lines if line["event"] == "status" and line["namespace"] == QUICK]
    assert {(line["kind"], line["object"]) for line in said} == {
        ("RiskPolicy", POLICY),
        *(("TitanPhase", name) for name in PHASES),
    }
    assert all(line["generation"] >= 1 for line in said)
