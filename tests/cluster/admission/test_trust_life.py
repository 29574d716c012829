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


def digest(image: str) -> str:
    return image.rpartition("@")[2]


@dataclass
class Scene:
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
        self.at.wait(f"{name}: {reason}", lambda: self.condition(name).get("reason") == reason, 20)
        return self.condition(name)

    def ask(self, image: str, *names: str) -> None:
        """Have phases ask for an image."""
        for name in names or PHASES:
            patch = json.dumps({"spec": {"image": image}})
            self.at.plane.kubectl("patch", "titanphase", name, "-n", STACK, "--type=merge", "-p", patch)

    def sign_policy(self, key: str, sequence: int) -> None:
        """Sign the stack's policy, as docs/trust.md says."""
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
        """What the API server says to a workload of this image, as the operator asks it (a dry run); empty: yes."""
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
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The charts, an operator without a trust policy, and the quick start of a signed image."""
    folder = tmp_path_factory.mktemp("trust")
    with SignedImages(folder / "registry") as images, installation(folder, [STACK], listed=False) as at:
        found = Scene(at, images)
        at.plane.kubectl("create", "namespace", DATA)
        at.plane.helm(
            *("upgrade", "titan-admission", str(_chart("titan-admission")), "-n", SYSTEM, "--reuse-values"),
            *("--set", f"data.namespaces={{{DATA}}}"),
        )
        yield found


def _chart(name: str) -> Path:
    return Path(__file__).resolve().parents[3] / "charts" / name


@pytest.fixture(scope="module")
def first(scene: Scene) -> str:
    """The image that the stack runs."""
    return scene.images.signed("first")


# In this order: one stack, and what becomes of it.


def test_without_a_trust_policy_nothing_runs_and_each_phase_says_so(scene: Scene, first: str) -> None:
    scene.at.apply(STACK, quickstart(first))
    told = scene.wait_verdict("brain", "NoTrustPolicy")
    assert told["status"] == "False"
    assert "give trustPolicy in the values of chart titan" in told["message"]
    assert scene.pods() == {}
    assert "is refused in a stack" in scene.admits(first, STACK)


def test_a_trust_policy_that_comes_later_has_the_signed_image_run_and_listed_with_its_provenance(
    scene: Scene, first: str
) -> None:
    scene.trust(infrastructure=[POSTGRESQL])
    scene.at.wait_ready(STACK, 60)
    (entry,) = scene.lists()["images"]
    assert (entry["digest"], entry["image"], entry["verifiedBy"]) == (digest(first), first, "release")
    assert {"verifiedAt", "trustPolicy"} <= entry.keys()
    assert f"{first}, signed by release, trust policy " in scene.condition("execution")["message"]


def test_a_pinned_image_runs_in_a_data_namespace_and_in_no_stack(scene: Scene, first: str) -> None:
    assert [item["image"] for item in scene.lists()["infrastructure"]] == [POSTGRESQL]
    scene.at.wait("the pin in force", lambda: not scene.admits(POSTGRESQL, DATA), 10)
    assert "is refused in a stack" in scene.admits(POSTGRESQL, STACK)
    assert "is refused in a data namespace" in scene.admits(first, DATA)


def test_an_unsigned_image_is_refused_with_its_reason_and_the_old_one_goes_on(scene: Scene, first: str) -> None:
    unsigned = scene.images.push("unsigned")
    before = scene.pods()
    scene.ask(unsigned, "brain")
    told = scene.wait_verdict("brain", "NoSignature")
    assert unsigned in told["message"]
    assert "is refused in a stack" in scene.admits(unsigned, STACK)
    assert scene.pods() == before
    # A signature that comes later is found.
    scene.images.sign(unsigned)
    scene.at.wait("the late signature", lambda: digest(unsigned) in scene.listed(), 30)
    scene.ask(first, "brain")
    scene.wait_verdict("brain", "Verified")


def test_another_keys_signature_is_none(scene: Scene, first: str) -> None:
    scene.ask(scene.images.signed("foreign", "stranger"), "brain")
    told = scene.at.wait("refused", lambda: scene.condition("brain").get("status") == "False", 20)
    assert told
    assert scene.condition("brain")["reason"] in ("UnknownKey", "BadSignature")
    scene.ask(first, "brain")
    scene.wait_verdict("brain", "Verified")


def test_a_broken_trust_policy_is_told_of_and_changes_nothing(scene: Scene, first: str) -> None:
    address = operator_pod(scene.at)["status"]["podIP"]
    scene.write("keys: none\n")
    scene.at.wait("the complaint", lambda: "stays in force" in page(address, OPERATOR_PORT, "/readyz")[1], 10)
    status, text = page(address, OPERATOR_PORT, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "keys: " in text
    second = scene.images.signed("second")
    scene.ask(second, "brain")
    scene.at.wait("the old policy at work", lambda: digest(second) in scene.listed(), 20)
    scene.ask(first, "brain")


def test_a_key_that_has_expired_blocks_what_is_new_and_what_runs_goes_on(scene: Scene, first: str) -> None:
    scene.trust(scene.key(notAfter=LONG_AGO), infrastructure=[POSTGRESQL])
    told = scene.wait_verdict("execution", "VerifiedBefore")
    assert (told["status"], "KeyExpired" in told["message"]) == ("True", True)
    assert digest(first) in scene.listed()
    new = scene.images.signed("new")
    scene.ask(new, "brain")
    scene.wait_verdict("brain", "KeyExpired")
    assert digest(new) not in scene.listed()
    scene.ask(first, "brain")
    scene.at.wait("brain", lambda: scene.condition("brain", "Ready").get("status") == "True", 30)
    # The pod is evicted: the API server admits its digest again.
    before = scene.pods()["execution"]
    scene.at.plane.kubectl("delete", "pod", "execution-0", "-n", STACK, "--wait=false")
    scene.at.wait("another Execution", lambda: scene.pods().get("execution") not in (before, None), 30)
    scene.trust(infrastructure=[POSTGRESQL])
    scene.wait_verdict("execution", "Verified")


@pytest.mark.parametrize(("name", "owner"), [("scavenger", "ReplicaSet"), ("execution", "StatefulSet")])
def test_a_pod_that_was_refused_starts_as_soon_as_its_image_is_listed_again(
    scene: Scene, first: str, name: str, owner: str
) -> None:
    scene.trust(revokedDigests=[digest(first)], infrastructure=[POSTGRESQL])
    scene.wait_verdict(name, "Revoked")
    scene.at.wait("the refusal", lambda: "is refused in a stack" in scene.admits(first, STACK), 10)

    def refusals() -> int:
        events = [item for item in scene.at.list("events", STACK) if item["reason"] == "FailedCreate"]
        return sum(item["count"] for item in events if item["involvedObject"]["kind"] == owner)

    before = refusals()
    scene.at.plane.kubectl("delete", "pod", "-l", f"app.kubernetes.io/instance={name}", "-n", STACK, "--wait=false")
    # After twelve its controller waits for twenty seconds.
    scene.at.wait("a controller that backs off", lambda: refusals() >= before + 12, 60)
    scene.trust(infrastructure=[POSTGRESQL])
    scene.at.wait("the list", lambda: digest(first) in scene.listed(), 30)
    scene.at.wait(name, lambda: name in scene.pods(), 8)
    scene.at.wait_ready(STACK, 30)


def test_the_registry_is_away_and_the_operator_starts_anew_and_takes_signed_policies_only(
    scene: Scene, first: str
) -> None:
    away = scene.images.signed("away")
    scene.images.stop()
    before = operator_pod(scene.at)["metadata"]
    scene.at.plane.helm(
        *("upgrade", "titan", str(_chart("titan")), "-n", SYSTEM, "--reuse-values"),
        *("--set", "settings.requireSignedPolicies=true"),
    )
    scene.at.wait("another operator", lambda: operator_pod(scene.at)["metadata"]["uid"] != before["uid"], 30)
    scene.at.wait("the refusal", lambda: scene.condition("brain", "PolicySigned").get("status") == "False", 20)
    scene.sign_policy("release", 7)
    scene.at.wait("why", lambda: "SignerNotAllowed" in scene.condition("brain", "PolicySigned").get("message", ""), 20)
    scene.sign_policy("desk", 7)
    scene.at.wait("what was in force", lambda: not scene.condition("brain", "PolicySigned"), 20)
    scene.ask(away, "brain")
    told = scene.wait_verdict("brain", "RegistryUnreachable")
    assert "it is tried again within 60 s" in told["message"]
    assert scene.condition("brain", "Stalled") == {}
    assert scene.condition("execution")["reason"] == "Verified"
    assert digest(first) in scene.listed()
    scene.ask(first, "brain")
    scene.wait_verdict("brain", "Verified")


def test_a_revoked_digest_is_taken_off_reported_of_what_runs_and_admitted_no_more(scene: Scene, first: str) -> None:
    before = scene.pods()
    scene.trust(revokedDigests=[digest(first)], infrastructure=[POSTGRESQL])
    for name in PHASES:
        assert digest(first) in scene.wait_verdict(name, "Revoked")["message"]
    assert digest(first) not in scene.listed()
    assert [item["digest"] for item in scene.lists()["revoked"]] == [digest(first)]
    events = [item for item in scene.at.list("events.events.k8s.io", STACK) if item["reason"] == "Revoked"]
    assert {item["regarding"]["name"] for item in events} == set(PHASES)
    assert all(digest(first) in item["note"] for item in events)
    # Reported, and nothing ends by itself; but nothing of it starts either.
    assert scene.pods() == before
    scene.at.wait("the refusal", lambda: "is refused in a stack" in scene.admits(first, STACK), 10)


def test_what_is_revoked_is_drained_where_the_trust_policy_says_so(scene: Scene, first: str) -> None:
    scene.trust(revokedDigests=[digest(first)], onRevocation="Drain")
    scene.at.wait("the end of all pods", lambda: scene.pods() == {}, 30)
    assert scene.condition("execution")["reason"] == "Revoked"
