"""The operator with a verifier that reads an explicit list, for tests. No chart and no image can select it.

``TITAN_TEST_IMAGES_FILE`` names a file with an image (``NAME@sha256:…``), a digest or a policy's hash a line. It is
read anew for each question; a line ``revoked IMAGE`` (or digest) revokes, whatever else lists it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from titan.runtime.process import run
from titan_operator.admission.image_checks import Verifier
from titan_operator.api import RiskPolicy
from titan_operator.app import OperatorApp
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

FILE = "TITAN_TEST_IMAGES_FILE"


class ListVerifier:
    """Knows the images that a file lists; the file is its trust policy, and each change of it makes another."""

    problem = ""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hash_before = ""

    @property
    def terms(self) -> TrustTerms:
        """Terms of the list: its revoked digests."""
        revoked = {line.removeprefix("revoked ") for line in self._lines() if line.startswith("revoked ")}
        return TrustTerms(self._hash(), frozenset(line.rpartition("@")[2] for line in revoked))

    def reload(self) -> bool:
        """Whether the list is another than last time."""
        before, self._hash_before = self._hash_before, self._hash()
        return before != self._hash_before

    async def verify(self, image: str) -> Verdict:
        """Verify ``image`` by the list."""
        digest = image.rpartition("@")[2]
        lines = self._lines()
        if {f"revoked {image}", f"revoked {digest}"} & lines:
            return Verdict(False, digest, reason=REVOKED, message=f"{image} was revoked in the tests' list of images")
        if {image, digest} & lines:
            return Verdict(True, digest, evidence={"verifiedBy": "list", "trustPolicy": self._hash()})
        return Verdict(False, digest, reason="NotListed", message=f"{image} is not in the tests' list of images")

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Verify ``policy`` by the list, which must hold its hash."""
        if policy.spec.hash in self._lines():
            return Verdict(True)
        return Verdict(False, reason="NotListed", message=f"{policy.spec.hash} is not in the tests' list of policies")

    def _hash(self) -> str:
        return f"sha256:{hashlib.sha256(self._file.read_bytes()).hexdigest()}"

    def _lines(self) -> set[str]:
        return {line.strip() for line in self._file.read_text().splitlines()}


class ListedOperatorApp(OperatorApp):
    """The operator with that verifier."""

    def verifier(self) -> Verifier:
        """The list."""
        return ListVerifier(Path(os.environ.get(FILE, os.devnull)))


if __name__ == "__main__":
    run(ListedOperatorApp)
