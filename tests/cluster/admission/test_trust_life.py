"""The operator as it is shipped, a registry and cosign's own signatures: what runs, what waits, what is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster.admission_fixture import path_of, plural
from support.cluster.as_user import OPERATOR, AsUser
from support.cluster.installation import PHASES, SYSTEM, Installation, installation, quickstart
from support.cluster.processes import OPERATOR_PORT, operator_pod, page
from support.supplychain.signed_images import SignedImages
from support.supplychain.trust_policies import trust_policy, trusted_key

STACK, DATA = "titan", "titan-data"
POSTGRESQL = "registry.test/titan/postgresql@sha256:" + "5" * 64
LONG_AGO = "2020-01-01T00:00:00Z"
CHECKS = "apiserver_validating_admission_policy_check_total{"
MOST_RESIDENT_BYTES = 100 * 2**20


def digest(image: str) -> str:
    return image.rpartition("@")[2]


@dataclass
class TrustFixture:
    """An installation without a list, a registry, and the trust policy that is mounted."""

    at: Installation
    images: SignedImages

    def trust(self, *keys: dict[str, Any], **more: Any) -> None:
        """Write the trust policy, as chart titan's ConfigMap has it."""
        desk = trusted_key("desk", self.images.key("desk"), uses=["policies"])
        policy = trust_policy(f"{self.images.address}/titan/*", **more) | {
            "keys": [*(keys or (self.key(),)), desk],
            "registries": {"plainHttp": [self.images.address]},
        }
        self.write(yaml.safe_dump(policy))

    def write(self, text: str) -> None:
        """Write that ConfigMap."""
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "titan-trust-policy", "namespace": SYSTEM},
            "data": {"policy.yaml": text},
        }
        self.at.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(manifest))

    def key(self, **more: Any) -> dict[str, Any]:
        return trusted_key("release", self.images.key("release"), **more)

    def lists(self) -> dict[str, Any]:
        """``spec`` of VerifiedImages, empty before there is one."""
        answer = AsUser(self.at.plane).call("GET", path_of("verifiedimages", "", "titan"))
        return dict(answer.body["spec"]) if answer.code == 200 else {"images": []}

    def listed(self) -> set[str]:
        return {item["digest"] for item in self.lists()["images"]}

    def condition(self, name: str, kind: str = "ImageVerified") -> dict[str, Any]:
        found = self.at.get("titanphase", name, STACK).get("status", {}).get("conditions", [])
        return next((dict(item) for item in found if item["type"] == kind), {})

    def wait_verdict(self, name: str, reason: str) -> dict[str, Any]:
        """Until ImageVerified of a phase has this reason; the condition."""
        self.at.wait(f"{name}: {reason}", lambda: self.condition(name).get("reason") == reason)
        return self.condition(name)

    def ask(self, image: str, *names: str) -> None:
        """Have phases ask for an image."""
        for name in names or PHASES:
            patch = json.dumps({"spec": {"image": image}})
            self.at.plane.kubectl("patch", "titanphase", name, "-n", STACK, "--type=merge", "-p", patch)

    def sign_policy(self, key: str, sequence: int) -> None:
        """Sign the stack's policy as docs/trust.md describes."""
        policy = self.at.policy(STACK)
        text = f"titan.riskpolicy.signature.v1\n{policy['spec']['hash']}\npaper\n{sequence}\n"
        bundle = self.images.sign_bytes(text.encode(), key)
        patch = {"spec": {"signature": {"bundle": bundle, "account": "paper", "sequence": sequence}}}
        self.at.plane.kubectl(
            *("patch", "riskpolicy", policy["metadata"]["name"], "-n", STACK, "--type=merge", "-p", json.dumps(patch))
        )

    def pods(self) -> dict[str, str]:
        """Identities of the stack's pods, by phase."""
        found = self.at.list("pods", STACK)
        return {pod["metadata"]["labels"]["app.kubernetes.io/instance"]: pod["metadata"]["uid"] for pod in found}

    def admits(self, image: str, namespace: str, kind: str = "Deployment") -> str:
        """Return the refusal of the operator's dry run of a workload of this image; empty if it is admitted."""
        labels = {"app": "probe"}
        pod = {"containers": [{"name": "probe", "image": image}]}
        body = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }
        path = path_of(plural(kind), namespace)
        user = OPERATOR if namespace == STACK else ""
        return AsUser(self.at.plane).call("POST", path, body, user=user, dry_run=True).message


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustFixture]:
    """The charts, an operator without a trust policy, and the quick start of a signed image."""
    folder = tmp_path_factory.mktemp("trust")
    with SignedImages(folder / "registry") as images, installation(folder, [STACK], listed=False) as at:
        found = TrustFixture(at, images)
        at.plane.kubectl("create", "namespace", DATA)
        at.plane.helm(
            *("upgrade", "titan-admission", str(_chart("titan-admission")), "-n", SYSTEM, "--reuse-values"),
            *("--set", f"data.namespaces={{{DATA}}}"),
        )
        yield found


def _chart(name: str) -> Path:
    return Path(__file__).resolve().parents[3] / "charts" / name


@pytest.fixture(scope="module")
def first(fixture: TrustFixture) -> str:
    """The image that the stack runs."""
    return fixture.images.signed("first")


# In this order: one stack, and what becomes of it.


def test_without_a_trust_policy_nothing_runs_and_each_phase_says_so(fixture: TrustFixture, first: str) -> None:
    fixture.at.apply(STACK, quickstart(first))
    told = fixture.wait_verdict("brain", "NoTrustPolicy")
    assert told["status"] == "False"
    assert "give trustPolicy in the values of chart titan" in told["message"]
    assert fixture.pods() == {}
    assert "is refused in a stack" in fixture.admits(first, STACK)


def test_a_trust_policy_that_comes_later_has_the_signed_image_run_and_listed_with_its_provenance(
    fixture: TrustFixture, first: str
) -> None:
    fixture.trust(infrastructure=[POSTGRESQL])
    fixture.at.wait_ready(STACK)
    (entry,) = fixture.lists()["images"]
    assert (entry["digest"], entry["image"], entry["verifiedBy"]) == (digest(first), first, "release")
    assert {"verifiedAt", "trustPolicy"} <= entry.keys()
    assert f"{first}, signed by release, trust policy " in fixture.condition("execution")["message"]


@pytest.mark.usefixtures("first")
def test_the_operator_of_one_stack_stays_small(fixture: TrustFixture) -> None:
    pid = fixture.at.runner.pid(SYSTEM, operator_pod(fixture.at)["metadata"]["name"])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident = int(status["VmRSS"].split()[0]) * 1024
    print(f"the operator's resident memory: {resident / 2**20:.1f} MiB")
    assert resident < MOST_RESIDENT_BYTES


def test_a_pinned_image_runs_in_a_data_namespace_and_in_no_stack(fixture: TrustFixture, first: str) -> None:
    assert [item["image"] for item in fixture.lists()["infrastructure"]] == [POSTGRESQL]
    fixture.at.wait("the pin in force", lambda: not fixture.admits(POSTGRESQL, DATA))
    assert "is refused in a stack" in fixture.admits(POSTGRESQL, STACK)
    assert "is refused in a data namespace" in fixture.admits(first, DATA)


def test_an_unsigned_image_is_refused_with_its_reason_and_the_old_one_goes_on(
    fixture: TrustFixture, first: str
) -> None:
    unsigned = fixture.images.push("unsigned")
    before = fixture.pods()
    fixture.ask(unsigned, "brain")
    told = fixture.wait_verdict("brain", "NoSignature")
    assert unsigned in told["message"]
    assert "is refused in a stack" in fixture.admits(unsigned, STACK)
    assert fixture.pods() == before
    # A signature that comes later is found.
    fixture.images.sign(unsigned)
    fixture.at.wait("the late signature", lambda: digest(unsigned) in fixture.listed())
    fixture.ask(first, "brain")
    fixture.wait_verdict("brain", "Verified")


def test_another_keys_signature_is_none(fixture: TrustFixture, first: str) -> None:
    fixture.ask(fixture.images.signed("foreign", "stranger"), "brain")
    told = fixture.at.wait("refused", lambda: fixture.condition("brain").get("status") == "False")
    assert told
    assert fixture.condition("brain")["reason"] in ("UnknownKey", "BadSignature")
    fixture.ask(first, "brain")
    fixture.wait_verdict("brain", "Verified")


def test_a_broken_trust_policy_is_told_of_and_changes_nothing(fixture: TrustFixture, first: str) -> None:
    address = operator_pod(fixture.at)["status"]["podIP"]
    fixture.write("keys: none\n")
    fixture.at.wait("the complaint", lambda: "stays in force" in page(address, OPERATOR_PORT, "/readyz")[1])
    status, text = page(address, OPERATOR_PORT, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "keys: " in text
    second = fixture.images.signed("second")
    fixture.ask(second, "brain")
    fixture.at.wait("the old policy at work", lambda: digest(second) in fixture.listed())
    fixture.ask(first, "brain")


def test_a_key_that_has_expired_blocks_what_is_new_and_what_runs_goes_on(fixture: TrustFixture, first: str) -> None:
    fixture.trust(fixture.key(notAfter=LONG_AGO), infrastructure=[POSTGRESQL])
    told = fixture.wait_verdict("execution", "VerifiedBefore")
    assert (told["status"], "KeyExpired" in told["message"]) == ("True", True)
    assert digest(first) in fixture.listed()
    new = fixture.images.signed("new")
    fixture.ask(new, "brain")
    fixture.wait_verdict("brain", "KeyExpired")
    assert digest(new) not in fixture.listed()
    fixture.ask(first, "brain")
    fixture.at.wait("brain", lambda: fixture.condition("brain", "Ready").get("status") == "True")
    # The pod is evicted: the API server admits its digest again.
    before = fixture.pods()["execution"]
    fixture.at.plane.kubectl("delete", "pod", "execution-0", "-n", STACK, "--wait=false")
    fixture.at.wait("another Execution", lambda: fixture.pods().get("execution") not in (before, None))
    fixture.trust(infrastructure=[POSTGRESQL])
    fixture.wait_verdict("execution", "Verified")


@pytest.mark.parametrize("name", ["scavenger", "execution"])
def test_a_pod_that_was_refused_starts_as_soon_as_its_image_is_listed_again(
    fixture: TrustFixture, first: str, name: str
) -> None:
    fixture.trust(revokedDigests=[digest(first)], infrastructure=[POSTGRESQL])
    fixture.wait_verdict(name, "Revoked")
    fixture.at.wait("the refusal", lambda: "is refused in a stack" in fixture.admits(first, STACK))

    def refusals() -> dict[str, float]:
        # Counted by the API server, by policy: of many events of one object, a controller drops the later ones.
        lines = fixture.at.plane.kubectl("get", "--raw", "/metrics").stdout.splitlines()
        counts = [line.rpartition(" ") for line in lines if line.startswith(CHECKS) and 'action="deny"' in line]
        return {labels: float(count) for labels, _, count in counts}

    before = refusals()
    fixture.at.plane.kubectl("delete", "pod", "-l", f"app.kubernetes.io/instance={name}", "-n", STACK, "--wait=false")
    # After twelve its controller waits for twenty seconds.
    fixture.at.wait(
        "a controller that backs off",
        lambda: any(count - before.get(policy, 0) >= 12 for policy, count in refusals().items()),
        every_s=2.0,
    )
    fixture.trust(infrastructure=[POSTGRESQL])
    fixture.at.wait("the list", lambda: digest(first) in fixture.listed())
    fixture.at.wait(name, lambda: name in fixture.pods(), 10)
    fixture.at.wait_ready(STACK)


def test_the_registry_is_away_and_the_operator_starts_anew_and_takes_signed_policies_only(
    fixture: TrustFixture, first: str
) -> None:
    away = fixture.images.signed("away")
    fixture.images.stop()
    before = operator_pod(fixture.at)["metadata"]
    fixture.at.plane.helm(
        *("upgrade", "titan", str(_chart("titan")), "-n", SYSTEM, "--reuse-values"),
        *("--set", "settings.requireSignedPolicies=true"),
    )
    fixture.at.wait("another operator", lambda: operator_pod(fixture.at)["metadata"]["uid"] != before["uid"])
    fixture.at.wait("the refusal", lambda: fixture.condition("brain", "PolicySigned").get("status") == "False")
    fixture.sign_policy("release", 7)
    fixture.at.wait(
        "why", lambda: "SignerNotAllowed" in fixture.condition("brain", "PolicySigned").get("message", ""), 20
    )
    fixture.sign_policy("desk", 7)
    fixture.at.wait("what was in force", lambda: not fixture.condition("brain", "PolicySigned"))
    fixture.ask(away, "brain")
    told = fixture.wait_verdict("brain", "RegistryUnreachable")
    assert "it is tried again within 60 s" in told["message"]
    assert fixture.condition("brain", "Stalled") == {}
    assert fixture.condition("execution")["reason"] == "Verified"
    assert digest(first) in fixture.listed()
    fixture.ask(first, "brain")
    fixture.wait_verdict("brain", "Verified")


def test_a_revoked_digest_is_taken_off_reported_of_what_runs_and_admitted_no_more(
    fixture: TrustFixture, first: str
) -> None:
    before = fixture.pods()
    fixture.trust(revokedDigests=[digest(first)], infrastructure=[POSTGRESQL])
    for name in PHASES:
        assert digest(first) in fixture.wait_verdict(name, "Revoked")["message"]
    assert digest(first) not in fixture.listed()
    assert [item["digest"] for item in fixture.lists()["revoked"]] == [digest(first)]
    events = [item for item in fixture.at.list("events.events.k8s.io", STACK) if item["reason"] == "Revoked"]
    assert {item["regarding"]["name"] for item in events} == set(PHASES)
    assert all(digest(first) in item["note"] for item in events)
    # Reported, and nothing ends by itself; but nothing of it starts either.
    assert fixture.pods() == before
    fixture.at.wait("the refusal", lambda: "is refused in a stack" in fixture.admits(first, STACK))


def test_what_is_revoked_is_drained_where_the_trust_policy_says_so(fixture: TrustFixture, first: str) -> None:
    fixture.trust(revokedDigests=[digest(first)], onRevocation="Drain")
    fixture.at.wait("the end of all pods", lambda: fixture.pods() == {})
    assert fixture.condition("execution")["reason"] == "Revoked"
