"""Import time and resident memory of each process's composition root, each in an interpreter of its own.

Run: ``python bench/footprint.py``. To reach: a phase imports in < 0.4 s and holds < 60 MB, Brain < 90 MB. What the
processes hold while they trade is printed by ``bench/order_path.py``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 5
LIMITS = {"phase": (0.4, 60), "brain": (None, 90), "execution": (None, None), "papervenue": (None, None)}
PROGRAM = """
import time
start = time.perf_counter()
import titan.{name}.app
seconds = time.perf_counter() - start
status = open("/proc/self/status").read()
print(seconds, int(status.partition("VmRSS:")[2].split()[0]) / 1024)
"""


def main() -> int:
    late = []
    for name, (limit_s, limit_mb) in LIMITS.items():
        rows = []
        for _ in range(ROUNDS + 1):
            out = subprocess.run([sys.executable, "-c", PROGRAM.format(name=name)], check=True, capture_output=True)
            rows.append([float(word) for word in out.stdout.split()])
        # The first one warms the disk's cache and is not counted.
        seconds, megabytes = (statistics.median(column) for column in zip(*rows[1:], strict=True))
        print(
            f"{name:11} import {seconds:.3f} s (to reach: {limit_s or '-'})  resident {megabytes:.0f} MB"
            f" (to reach: {limit_mb or '-'})"
        )
        if (limit_s is not None and seconds >= limit_s) or (limit_mb is not None and megabytes >= limit_mb):
            late.append(name)
    if late:
        print(f"not reached: {', '.join(late)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
