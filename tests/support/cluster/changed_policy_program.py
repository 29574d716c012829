"""Runs a program with one rule of its policy changed: a process that enforces a policy that no TitanPhase names."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FILE = "TITAN_POLICY_FILE"


def main() -> None:
    """Become that program."""
    if FILE in os.environ:
        rules = json.loads(Path(os.environ[FILE]).read_text())
        rules["maxEntryOrdersPerSymbol"] += 1
        other = Path.cwd() / "other-policy.json"
        other.write_text(json.dumps(rules))
        os.environ[FILE] = str(other)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
