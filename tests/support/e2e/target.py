"""The cluster that end-to-end tests run against: any, by a kubeconfig; a node of ours can be disturbed too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
KUBECONFIG, REGISTRY, NODE = "TITAN_E2E_KUBECONFIG", "TITAN_E2E_REGISTRY", "TITAN_E2E_NODE"


class TargetError(AssertionError):
    """A command failed; the message is its output."""


@dataclass
class Target:
    """One cluster.

    Parameters
    ----------
    admin
        Kubeconfig of an administrator.
    registry
        ``HOST[:PORT]`` that this machine pushes to, and that nodes and pods pull from by the same name.
    node
        Folder of the node, where it is one of ``ci/node``; None where parts of the cluster are not ours to kill.
    folder
        For files of this run.
    """

    admin: Path
    registry: str
    node: Path | None
    folder: Path

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""
        return self.run("kubectl", *arguments, stdin=stdin, check=check, kubeconfig=kubeconfig)

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm."""
        return self.run("helm", *arguments, check=check)

    def read(self, namespace: str, pod: str, *command: str) -> bytes | None:
        """Return the output of a command in a pod; None where it fails, or where the pod does not exist now."""
        done = subprocess.run(
            ["kubectl", "exec", "-n", namespace, pod, "--", *command],
            env=self.environment(),
            capture_output=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def run(
        self,
        *command: str | Path,
        stdin: str | None = None,
        check: bool = True,
        kubeconfig: Path | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with the cluster's kubeconfig.

        Raises
        ------
        TargetError
            It failed and ``check`` is set.
        """
        done = subprocess.run(
            command,
            env=self.environment(kubeconfig) | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise TargetError(f"{' '.join(map(str, command))}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Path of a kubeconfig by which the administrator speaks as another user: every cluster takes that."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        document = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json").stdout)
        document["users"][0]["user"] |= {"as": user, "as-groups": [*groups, "system:authenticated"]}
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def disturb(self, act: str, what: str) -> None:
        """Have ``ci/node`` restart, halt, resume, cut or heal something."""
        assert self.node is not None, "asked for where the node is not ours"
        self.run(ROOT / "ci" / "node", "--folder", self.node, act, what, PYTHON=sys.executable)

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Variables that programs run with."""
        caches = {f"HELM_{kind}_HOME": str(self.folder / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        return {**os.environ, **caches, "KUBECONFIG": str(kubeconfig or self.admin)}
