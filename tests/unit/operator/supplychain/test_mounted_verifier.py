"""Mounted files take effect while the operator runs; an invalid file changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.supplychain.trust_policies import as_yaml, trust_policy, trusted_key
from titan_operator.api import RiskPolicy
from titan_operator.supplychain.mounted_verifier import MountedVerifier
from titan_operator.supplychain.registry.credential_files import CredentialFiles, Login
from titan_operator.supplychain.trust import TrustPolicy, load_trust_policy
from titan_operator.supplychain.trust_file import TrustFile
from titan_operator.supplychain.verdict import TrustTerms, Verdict

IMAGE = "r.test/titan@sha256:" + "a" * 64
DIGEST = "sha256:" + "b" * 64


class Told:
    """A verifier that names the trust policy for which it was made."""

    def __init__(self, policy: TrustPolicy, logins: Mapping[str, Login]) -> None:
        self.policy, self.logins = policy, dict(logins)

    async def verify(self, image: str) -> Verdict:
        return Verdict(True, image, message=self.policy.hash)

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        raise AssertionError("nobody asks here")


class Mounted:
    """A folder as a kubelet fills it, and the verifier that reads it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.logins = folder / "policy.yaml", folder / "logins"
        self.logins.mkdir()
        self.made: list[Told] = []
        self.verifier = MountedVerifier(TrustFile(self.file), CredentialFiles(self.logins), self._make)

    def _make(self, policy: TrustPolicy, logins: Mapping[str, Login]) -> Told:
        self.made.append(Told(policy, logins))
        return self.made[-1]

    def write(self, content: bytes) -> None:
        """Another file in its place, as a ConfigMap's update is."""
        new = self.file.with_suffix(".new")
        new.write_bytes(content)
        new.replace(self.file)

    def policy(self, **more: Any) -> str:
        """Mount a trust policy; its hash."""
        self.write(as_yaml(trust_policy(**more)))
        return load_trust_policy(as_yaml(trust_policy(**more))).hash


async def test_without_a_trust_policy_nothing_passes_and_it_says_so(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    assert not mounted.verifier.reload()
    verdict = await mounted.verifier.verify(IMAGE)
    assert (verdict.verified, verdict.reason) == (False, "NoTrustPolicy")
    assert verdict.message == (
        f"no trust policy is mounted, {mounted.file} is not there; give trustPolicy in the values of chart titan"
    )
    assert mounted.verifier.terms == TrustTerms()
    # A state, told by each phase, and no mistake.
    assert mounted.verifier.problem == ""


async def test_one_that_comes_later_takes_effect_and_so_does_its_change(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.verifier.reload()
    first = mounted.policy()
    assert mounted.verifier.reload()
    assert not mounted.verifier.reload()
    assert (await mounted.verifier.verify(IMAGE)).message == first
    second = mounted.policy(revokedDigests=[DIGEST], onRevocation="Drain", infrastructure=[IMAGE])
    assert mounted.verifier.reload()
    assert (await mounted.verifier.verify(IMAGE)).message == second
    assert mounted.verifier.terms == TrustTerms(second, frozenset({DIGEST}), frozenset(), (IMAGE,), drain=True)
    assert mounted.verifier.problem == ""


def test_the_same_content_in_another_file_is_no_other_policy(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.policy()
    assert mounted.verifier.reload()
    mounted.policy()
    assert not mounted.verifier.reload()
    assert len(mounted.made) == 1


def test_a_revoked_key_is_told_by_its_name(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    old = trusted_key("old", revoked=True)
    policy = trust_policy()
    mounted.write(as_yaml({**policy, "keys": [*policy["keys"], old]}))
    mounted.verifier.reload()
    assert mounted.verifier.terms.revoked_keys == {"old"}


async def test_a_broken_one_is_refused_by_its_field_and_the_old_one_stays_with_its_revocations(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    first = mounted.policy(revokedDigests=[DIGEST])
    mounted.verifier.reload()
    for content, says in (
        (as_yaml(trust_policy(revokedDigests=["latest"])), "revokedDigests"),
        (as_yaml({"keys": []}), "images"),
        (b"keys: [", "line 1"),
        (b"\xff", "not UTF-8"),
        (b"", "0 documents"),
    ):
        mounted.write(content)
        assert not mounted.verifier.reload()
        assert says in mounted.verifier.problem, content
        assert f"{first} stays in force, with its revocations" in mounted.verifier.problem
        assert mounted.verifier.terms.revoked_digests == {DIGEST}
        assert (await mounted.verifier.verify(IMAGE)).message == first
    mounted.file.unlink()
    assert not mounted.verifier.reload()
    assert f"{first} stays in force" in mounted.verifier.problem
    # Put back as it was: nothing is wrong any more, and nothing has changed.
    mounted.policy(revokedDigests=[DIGEST])
    assert not mounted.verifier.reload()
    assert mounted.verifier.problem == ""


async def test_a_broken_first_one_verifies_nothing(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.write(b"keys: 1")
    assert not mounted.verifier.reload()
    verdict = await mounted.verifier.verify(IMAGE)
    assert (verdict.reason, verdict.verified) == ("NoTrustPolicy", False)
    assert "keys: 1" in verdict.message
    assert "nothing new is verified" in verdict.message


def test_replaced_logins_reach_the_verifier_without_another_trust_policy(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.policy()
    mounted.verifier.reload()
    (mounted.logins / "a.json").write_text('{"auths": {"r.test": {"username": "ana", "password": "p"}}}')
    assert not mounted.verifier.reload()
    assert mounted.made[-1].logins == {"r.test": Login("ana", "p")}
    (mounted.logins / "a.json").write_text("{")
    mounted.verifier.reload()
    assert mounted.verifier.problem.startswith("a.json: not JSON")
    assert len(mounted.made) == 2
