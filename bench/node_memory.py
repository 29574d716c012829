"""Memory of the whole stack on a node, by pod: operator, five processes and PostgreSQL, while they trade.

Run: ``python bench/node_memory.py``, as root on Debian or its kin, or with ``TITAN_E2E_KUBECONFIG`` (see ``ci/e2e``).
Images are built and signed, a node is started, the charts are installed, and the kubelet's own figures are printed; to
reach: what the test of that name allows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    return subprocess.run([ROOT / "ci" / "e2e", "-k", "memory_of_every_pod"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
