"""``titan verify-image`` and signed risk policies, against a registry and the real cosign, without a control plane."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.stack.model import documents
from support.supplychain.signed_images import SignedImages
from support.supplychain.trust_policies import as_yaml, trust_policy, trusted_key
from titan_operator.api import RiskPolicy
from titan_operator.supplychain.mounted_verifier import cosign_verifier, registry_session
from titan_operator.supplychain.trust import load_trust_policy
from titan_operator.supplychain.verdict import Verdict

PROGRAMS = ("titan", "kubectl-titan")
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedImages]:
    with SignedImages(tmp_path_factory.mktemp("images")) as found:
        yield found


@pytest.fixture(scope="module")
def good(images: SignedImages) -> str:
    return images.signed("good")


def policy_document(images: SignedImages, **key: Any) -> dict[str, Any]:
    """A trust policy for that registry, with the key that signs there."""
    whole = trust_policy(f"{images.address}/titan/*")
    keys = [trusted_key("release", images.key("release"), **key)]
    return {**whole, "keys": keys, "registries": {"plainHttp": [images.address]}}


def run(program: str, image: str, policy: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / program), "verify-image", image, "--policy", str(policy), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def policy(images: SignedImages, tmp_path: Path) -> Path:
    file = tmp_path / "trust-policy.yaml"
    file.write_bytes(as_yaml(policy_document(images)))
    return file


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signed_image_is_said_to_be_verified_and_by_whom(good: str, policy: Path, program: str) -> None:
    done = run(program, good, policy)
    assert (done.returncode, done.stderr) == (0, "")
    hash_ = load_trust_policy(policy.read_bytes()).hash
    assert done.stdout == f"verified      {good}\nsigned by     release\ntrust policy  {hash_}\n"


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_verdict_as_a_document(good: str, policy: Path, output: str, read: Any) -> None:
    done = run("titan", good, policy, "-o", output)
    assert done.returncode == 0
    assert read(done.stdout) == {
        "image": good,
        "verified": True,
        "verified_by": "release",
        "reason": "",
        "message": "",
        "trust_policy": load_trust_policy(policy.read_bytes()).hash,
    }


def test_an_unsigned_image_is_refused_with_the_operators_reason(images: SignedImages, policy: Path) -> None:
    unsigned = images.push("unsigned")
    done = run("titan", unsigned, policy)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("titan: NoSignature: ")
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        document = read(run("titan", unsigned, policy, "-o", output).stdout)
        assert (document["verified"], document["verified_by"], document["reason"]) == (False, "", "NoSignature")


@pytest.mark.parametrize(
    ("what", "change", "reason"),
    [
        ("its time is over", {"notAfter": LONG_AGO}, "KeyExpired"),
        ("it is revoked", {"revoked": True}, "Revoked"),
        ("it may sign policies only", {"uses": ["policies"]}, "SignerNotAllowed"),
    ],
)
def test_a_key_that_does_not_count(
    images: SignedImages, good: str, tmp_path: Path, what: str, change: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(as_yaml(policy_document(images, **change)))
    done = run("titan", good, file)
    assert done.returncode == 1, what
    assert done.stderr.startswith(f"titan: {reason}: "), done.stderr


def test_a_registry_that_does_not_answer_is_no_verdict_on_the_image(good: str, tmp_path: Path) -> None:
    image = f"127.0.0.1:1/titan/titan@{good.rpartition('@')[2]}"
    file = tmp_path / "policy.yaml"
    file.write_bytes(as_yaml(trust_policy("127.0.0.1:1/titan/*", registries={"plainHttp": ["127.0.0.1:1"]})))
    done = run("titan", image, file)
    assert done.returncode == 3
    assert done.stderr.startswith("titan: RegistryUnreachable: ")


def test_bad_input_is_named_and_nothing_is_asked(good: str, policy: Path, tmp_path: Path) -> None:
    broken, logins = tmp_path / "broken.yaml", tmp_path / "config.json"
    broken.write_bytes(as_yaml({**trust_policy(), "onRevocation": "Delete"}))
    logins.write_text("{}")
    for says, arguments in (
        ("onRevocation", (good, broken)),
        ("cannot be read", (good, tmp_path / "nothing.yaml")),
        ("allowed is an image by digest only", ("titan/titan:latest", policy)),
        ("auths: missing", (good, policy, "--registry-config", str(logins))),
    ):
        done = run("titan", *arguments)  # type: ignore[arg-type]
        assert done.returncode == 2, (says, done.stderr)
        assert says in done.stderr


# Signed risk policies: what `cosign sign-blob` made of the bytes that docs/trust.md prints.


def _signed(
    images: SignedImages, key: str, payload: str = "", account: str = "paper-1", sequence: int = 7
) -> RiskPolicy:
    raw = documents("policies/demo.yaml")[0]
    signed = payload or f"titan.riskpolicy.signature.v1\n{raw['spec']['hash']}\n{account}\n{sequence}\n"
    bundle = images.sign_bytes(signed.encode(), key)
    raw["spec"]["signature"] = {"bundle": bundle, "account": account, "sequence": sequence}
    return RiskPolicy.model_validate(raw)


async def _judge(images: SignedImages, policy: RiskPolicy, **key: Any) -> Verdict:
    whole = policy_document(images)
    whole["keys"].append(trusted_key("desk", images.key("desk"), uses=["policies"], **key))
    async with registry_session() as session:
        verifier = cosign_verifier(session, load_trust_policy(as_yaml(whole)), {})
        return await verifier.verify_policy(policy)


async def test_a_policy_that_the_desk_signed_is_verified(images: SignedImages) -> None:
    verdict = await _judge(images, _signed(images, "desk"))
    assert (verdict.verified, verdict.evidence["verifiedBy"]) == (True, "desk")


async def test_a_policy_is_refused_whose_signature_is_of_another_use_key_account_or_time(images: SignedImages) -> None:
    hash_ = documents("policies/demo.yaml")[0]["spec"]["hash"]
    other = f"titan.riskpolicy.signature.v1\n{hash_}\npaper-2\n7\n"
    for what, policy, key, reason in (
        ("a key for images", _signed(images, "release"), {}, "SignerNotAllowed"),
        ("a strange key", _signed(images, "stranger"), {}, "UnknownKey"),
        ("another account", _signed(images, "desk", other), {}, "BadSignature"),
        ("an expired key", _signed(images, "desk"), {"notAfter": LONG_AGO}, "KeyExpired"),
        ("a revoked key", _signed(images, "desk"), {"revoked": True}, "Revoked"),
    ):
        verdict = await _judge(images, policy, **key)
        assert (verdict.verified, verdict.reason) == (False, reason), what
