"""Runs every benchmark beside this file, one process after another: ``python -m bench [NAME …]``.

A module whose name begins with an underscore is what benchmarks share, and is not run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    known = {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}
    wanted = names or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown or not known:
        print(
            f"bench: {', '.join(unknown) or 'none'} not found; there are: {', '.join(known) or 'none'}", file=sys.stderr
        )
        return 2
    failed = []
    for name in wanted:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, known[name]], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
