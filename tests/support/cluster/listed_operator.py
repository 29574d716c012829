"""The operator as tests start it: with a verifier that reads an explicit list. No chart and no image can reach it.

``TITAN_TEST_IMAGES_FILE`` names a file with an image (``NAME@sha256:…``) or a digest a line; it is read anew for each
question, so that a test can add and revoke.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from titan.runtime.process import run
from titan_operator.api import RiskPolicy
from titan_operator.app import OperatorApp
from titan_operator.gather import Verifier
from titan_operator.world import Verdict

FILE = "TITAN_TEST_IMAGES_FILE"


class Listed:
    """Knows the images that a file lists."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def verify(self, image: str) -> Verdict:
        """Judge ``image`` by the list."""
        digest = image.rpartition("@")[2]
        if {image, digest} & set(self._file.read_text().split()):
            return Verdict(True, digest, evidence={"verifiedBy": "list"})
        return Verdict(False, digest, reason="NotListed", message=f"{image} is not in the tests' list of images")

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Judge ``policy`` by the list: its hash must be there."""
        if policy.spec.hash in self._file.read_text().split():
            return Verdict(True)
        return Verdict(False, reason="NotListed", message=f"{policy.spec.hash} is not in the tests' list of policies")


class ListedOperatorApp(OperatorApp):
    """The operator with that verifier."""

    verifier: ClassVar[Verifier] = Listed(Path(os.environ.get(FILE, os.devnull)))


if __name__ == "__main__":
    run(ListedOperatorApp)
