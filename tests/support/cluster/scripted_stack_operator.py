"""The operator over scripted stacks, which only answer, for tests of the operator and the API server.

``TITAN_TEST_STACKS`` is the address of a :class:`support.cluster.scripted_stack_service.ScriptedStackService`.
"""

from __future__ import annotations

import os
from pathlib import Path

from support.cluster.controller_fixture import AcceptingVerifier
from support.cluster.scripted_stack_service import RemoteScriptedStack
from titan.runtime.process import run
from titan.runtime.telemetry.logs import Log
from titan_operator.admission.image_checks import Verifier
from titan_operator.app import OperatorApp
from titan_operator.supplychain.verdict import Verdict

# The one image that the verifier refuses.
UNLISTED = "registry.test/titan@sha256:" + "f" * 64


class AllButOne(AcceptingVerifier):
    """A verifier that accepts every image but one."""

    async def verify(self, image: str) -> Verdict:
        if image == UNLISTED:
            return Verdict(False, reason="NotListed", message=f"nobody vouches for {image}")
        return await super().verify(image)


def connect(namespace: str, _folder: Path, _log: Log) -> RemoteScriptedStack:
    return RemoteScriptedStack(os.environ["TITAN_TEST_STACKS"], namespace)


class ScriptedStackOperator(OperatorApp):
    connect = staticmethod(connect)  # type: ignore[assignment]

    def verifier(self) -> Verifier:
        return AllButOne()


if __name__ == "__main__":
    run(ScriptedStackOperator)
