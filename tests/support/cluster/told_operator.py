"""The operator as it is, but for its stacks, which only answer: what is measured is the operator and the API server."""

from __future__ import annotations

import os
from pathlib import Path

from support.cluster.engine_scene import Everything, ToldStack
from titan.runtime.logs import Log
from titan.runtime.process import run
from titan_operator.app import OperatorApp
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import load
from titan_operator.judging import Verifier


class LazyTold(ToldStack):
    """Opens its own way to the API server when it is first asked."""

    async def ask(self, addresses, timeout_s=2.0):  # type: ignore[no-untyped-def]
        if not hasattr(self.admin, "opened"):
            await self.admin.__aenter__()
            self.admin.opened = True  # type: ignore[attr-defined]
        return await super().ask(addresses, timeout_s)


def connect(namespace: str, _folder: Path, _log: Log) -> LazyTold:
    return LazyTold(Cluster(load({"KUBECONFIG": os.environ["BENCH_ADMIN"]})), namespace)


class ToldOperator(OperatorApp):
    def verifier(self) -> Verifier:
        """Knows every image."""
        return Everything()

    connect = staticmethod(connect)  # type: ignore[assignment]


if __name__ == "__main__":
    run(ToldOperator)
