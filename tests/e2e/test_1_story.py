"""From images to a stack that trades, is halted, upgraded, refused, returned from, and gets new certificates."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509

from support.cluster.installation import PHASES
from support.cluster.running_stack import LONG_MS
from support.e2e.installed import DATA, STACK, SYSTEM, Titan
from support.e2e.pods import BUSY_MS, PodLife
from support.e2e.story import Story
from titan.domain.enums import Posture
from titan.runtime.topology import ROLES
from titan_operator.api.names import tls_secret

# Of a machine with 4 GB, beside Kubernetes, its monitoring and the phases to come.
ALL_PODS_MIB = 512
BROKEN = {"/opt/titan/bin/titan-execution": "#!/bin/sh\necho this image is broken >&2\nexit 1\n"}
NEWER = {"/opt/titan/share/version": "newer\n"}


def test_a_stack_runs_as_pods(titan: Titan, stack: PodLife, story: Story) -> None:
    """Charts installed, quick start applied: every process is a pod, from the release's signed image"""
    story.tell(titan.target.kubectl("get", "titan,pods", "-n", STACK).stdout)
    pods = stack.pods()
    assert set(pods) == set(PHASES)
    for pod in pods.values():
        assert pod["spec"]["containers"][0]["image"] == titan.release.services
    (operator,) = titan.pods.list("pods", SYSTEM)
    assert operator["spec"]["containers"][0]["image"] == titan.release.operator
    listed = titan.pods.get("verifiedimages", "titan", SYSTEM)["spec"]["images"]
    assert titan.release.services.partition("@")[2] in {image["digest"] for image in listed}
    assert stack.latch() is Posture.CLOSE_ONLY
    assert not stack.venue().trades


def test_an_order_is_filled(titan: Titan, stack: PodLife, story: Story) -> None:
    """Armed by a person: an order is filled"""
    story.tell(stack.arm())
    titan.pods.wait("a fill", lambda: stack.venue().trades)
    trade = stack.venue().trades[0]
    story.tell(f"filled: {trade.side.name} {trade.quantity} {trade.symbol} at {trade.price}, fee {trade.fee}")


def test_halt_is_acknowledged_and_no_entry_follows(titan: Titan, stack: PodLife, story: Story) -> None:
    """`kubectl titan halt`: acknowledged by Execution, not one entry after it, and the equity is told"""
    at, before = titan.pods, len(stack.entries())
    began = time.monotonic()
    at.wait("three more entries", lambda: len(stack.entries()) >= before + 3)
    gap_s = (time.monotonic() - began) / 3
    asked = time.monotonic()
    with stack.acts() as acts:
        said = at.titan("halt", "--reason", "news", namespace=STACK).stdout
        command_s = time.monotonic() - asked
        took_s = at.wait("the answer in the policy's status", lambda: acts.took_s("halt"))
    story.tell(f"{said.strip()}\n{took_s:.2f} s from the act to Execution's answer; the command took {command_s:.2f} s")
    assert "acknowledged by Execution: HALTED" in said
    assert stack.latch() is Posture.HALTED
    entries = stack.entries()
    quiet_s = min(max(4 * gap_s, 10), 40)
    deadline = time.monotonic() + quiet_s
    while time.monotonic() < deadline:
        assert stack.entries() == entries
        assert stack.covered or not stack.venue().positions
    story.tell(f"an entry each {gap_s:.1f} s before it; none in {quiet_s:.0f} s after it")
    at.wait("an equity that fees were taken from", lambda: stack.equity() not in ("", "200"))
    table = titan.target.kubectl("get", "titan", "-n", STACK).stdout
    story.tell(table)
    heading, row = table.splitlines()[:2]
    assert re.match(r"\d+\.\d+ ", row[heading.index("EQUITY") :]), table


def test_a_new_version_is_rolled_with_the_position_kept(titan: Titan, stack: PodLife, story: Story) -> None:
    """A new version: drained, rolled one by one, and the position is kept"""
    at = titan.pods
    newer = titan.release.sign(titan.release.changed("newer", NEWER))
    stack.hold()
    held, before = stack.held(), stack.pods()
    story.tell(f"held: {', '.join(f'{one.quantity} {symbol}' for symbol, one in held[0].items())}, with its stop")
    with story.timed("helm upgrade to the new version, until all is ready"):
        titan.upgrade("titan-stack", STACK, titan.stack_values(LONG_MS, newer))
    at.wait("nobody to have armed", lambda: at.posture(STACK) == "CLOSE_ONLY")
    after = stack.pods()
    for role in PHASES:
        assert after[role]["metadata"]["uid"] != before[role]["metadata"]["uid"]
        assert after[role]["spec"]["containers"][0]["image"] == newer
    rolled = sorted(after.values(), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    for one, other in pairwise(rolled):
        started = one["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        assert other["metadata"]["creationTimestamp"] >= started, "one at a time"
    assert (stack.held(), stack.covered) == (held, True)
    story.tell("the same position and the same orders at the venue; CLOSE_ONLY until a person arms")


def test_an_unsigned_version_is_refused_while_the_old_goes_on(titan: Titan, stack: PodLife, story: Story) -> None:
    """An unsigned version: refused, and the old one goes on trading"""
    at = titan.pods
    stack.trade()
    before = stack.pods()["execution"]
    running = before["spec"]["containers"][0]["image"]
    unsigned = titan.release.changed("unsigned", {"/opt/titan/share/version": "unsigned\n"})
    stack.patch("execution", {"image": unsigned})
    at.wait("the refusal", lambda: stack.condition("execution", "ImageVerified").get("status") == "False")
    story.tell(at.titan("why", "execution", namespace=STACK).stdout)
    assert unsigned in stack.condition("execution", "Ready")["message"]
    assert stack.pods()["execution"]["metadata"]["uid"] == before["metadata"]["uid"]
    assert stack.latch() is Posture.ARMED
    # It goes on: a phase whose time is over closes, and opens anew.
    traded = len(stack.venue().trades)
    stack.patch("scavenger", {"parameters": {"holdMs": BUSY_MS}})
    at.wait("trades by the old one", lambda: len(stack.venue().trades) >= traded + 4)
    story.tell(f"{len(stack.venue().trades) - traded} trades by the old one meanwhile")
    stack.patch("execution", {"image": running})
    at.wait_ready(STACK)
    assert stack.pods()["execution"]["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_broken_version_is_returned_from_without_a_person(titan: Titan, stack: PodLife, story: Story) -> None:
    """A signed version that does not start: returned from without a person, disarmed"""
    at = titan.pods
    stack.hold()
    held = stack.held()
    good = at.get("titanphase", "execution", STACK)["status"]["revision"]["lastVerified"]
    running = stack.image("execution")
    broken = titan.release.sign(titan.release.changed("broken", BROKEN))
    with story.timed("from the broken version back to the last verified one"):
        stack.patch("execution", {"image": broken})
        at.wait("the return", lambda: stack.condition("execution", "Stalled").get("reason") == "RollFailed")
        at.wait("the last verified image", lambda: stack.image("execution") == running)
        at.wait("Execution", lambda: at.posture(STACK) == "CLOSE_ONLY" and stack.protected())
    story.tell(stack.condition("execution", "Stalled")["message"])
    status = at.get("titanphase", "execution", STACK)["status"]
    assert status["revision"]["lastVerified"] == good
    assert status["revision"]["failed"] != good
    assert stack.image("execution") == running
    assert (stack.held(), stack.latch()) == (held, Posture.CLOSE_ONLY)
    stack.patch("execution", {"image": running})
    at.wait_ready(STACK)


def test_certificates_are_rotated_under_load(titan: Titan, stack: PodLife, story: Story) -> None:
    """Certificates are renewed while the stack trades: no process restarts, no order is lost"""
    at = titan.pods
    stack.busy()
    before, shown = stack.containers(), {role: _shown(titan, stack, role) for role in ("brain", "execution")}
    assert all(shown.values())
    # The next ones last: those that come now are the last of the story.
    titan.upgrade("titan", SYSTEM, titan.operator_values())
    at.wait("certificates that last, of all", lambda: all(_lasts(titan, role) for role in PHASES))
    for role, old in shown.items():
        at.wait(f"another certificate of {role}", lambda: _shown(titan, stack, role) not in ("", old))  # noqa: B023
    traded = len(stack.venue().trades)
    at.wait("trades with the new ones", lambda: len(stack.venue().trades) >= traded + 4)
    assert stack.containers() == before
    assert at.posture(STACK) == "ARMED"
    books = stack.agreed()
    story.tell(f"new certificates in Brain and Execution; {len(books.venue.trades)} trades in both books")


def test_memory_of_every_pod(titan: Titan, stack: PodLife, story: Story) -> None:
    """Memory of every pod while the stack trades: a small part of a machine with 4 GB"""
    stack.busy()
    traded = len(stack.venue().trades)
    titan.pods.wait("trades", lambda: len(stack.venue().trades) >= traded + 4)
    sizes = titan.pods.memory()
    lines = [f"{size:7.1f} MiB  {name}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])]
    story.tell("\n".join(["as their node tells it, working sets:", *lines, f"{sum(sizes.values()):7.1f} MiB  in all"]))
    told = {name.partition("/")[0] for name in sizes}
    assert {STACK, SYSTEM, DATA} <= told
    assert sum(sizes.values()) < ALL_PODS_MIB


def _lasts(titan: Titan, role: str) -> bool:
    """Whether the certificate in a process's Secret is one of the chart's own lifetime."""
    content = titan.pods.get("secret", tls_secret(role), STACK)["data"]["cert.pem"]
    ends = x509.load_pem_x509_certificate(base64.b64decode(content)).not_valid_after_utc
    return ends > datetime.now(UTC) + timedelta(hours=1)


_LOOK = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2])), timeout=5))"


def _shown(titan: Titan, stack: PodLife, role: str) -> str:
    """Return the certificate that a process presents, as PEM; empty where it cannot be reached now."""
    pod = stack.pods()[role]
    address, port = pod["status"]["podIP"], str(ROLES[role].grpc_port)
    said = titan.target.read(STACK, pod["metadata"]["name"], "python3", "-c", _LOOK, address, port)
    return said.decode() if said else ""
