"""Time a lockstep step of a whole stack, beside bare gRPC stream hops between two processes in the same run.

Run: ``python bench/lockstep.py``. A stack plays the simulated market at most speed with mTLS; a step is the wall time
of its market divided by its steps. The floor is a bare message to another process and back, twice: four hops. It is
measured before and after each stack, on the machine as busy as it is then. To reach: at most half of the 9.6 to 10.6
floors that a step was when it was sent and acknowledged by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "ci")]

from testcluster.ports import free_ports  # noqa: E402

from support.stack.titan_up import DEMO, local_stack  # noqa: E402

METHOD = "/floor/Echo"
MARKET_S = 120
STEP_MS = 50
RUNS = 3
ROUND_TRIPS = 2_000
MESSAGE = bytes(300)


async def echo(port: int) -> None:
    """Serve a stream that returns each message."""

    async def back(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(back)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor", {"Echo": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(0)


async def four_hops_ms() -> float:
    """The median of four bare hops, one after another."""
    (port,) = free_ports(1)
    child = subprocess.Popen([sys.executable, __file__, "echo", str(port)])
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream(METHOD)(wait_for_ready=True)
            durations = []
            for _ in range(ROUND_TRIPS):
                started_ns = time.perf_counter_ns()
                for _ in range(2):
                    await call.write(MESSAGE)
                    await call.read()
                durations.append(time.perf_counter_ns() - started_ns)
            call.cancel()
    finally:
        child.terminate()
        child.wait()
    return sorted(durations)[len(durations) // 2] / 1e6


def step_ms(folder: Path) -> tuple[float, dict[str, Any]]:
    """Play the market once; return the wall time of a step and the totals."""
    arguments = ("--arm", "--seed", "5", "--speed", "max", "--duration", str(MARKET_S), "--until-end", "-o", "json")
    with local_stack(folder, *arguments, resources=DEMO) as stack:
        _, out = stack.result(timeout_s=600)
        if not out or "Not armed" in stack.stderr:
            raise RuntimeError(stack.stderr)
    times = {}
    for line in (folder / "marketdata" / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["event"] in ("market starts", "market ended"):
            times[record["event"]] = datetime.fromisoformat(record["timestamp"]).timestamp()
    wall_s = times["market ended"] - times["market starts"]
    return wall_s * 1e3 / (MARKET_S * 1_000 / STEP_MS), json.loads(out)


def main() -> int:
    steps, floors, totals = [], [uvloop.run(four_hops_ms())], []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TITAN_BENCH_DIR")) as folder:
        for number in range(RUNS):
            step, result = step_ms(Path(folder) / str(number) / "state")
            steps.append(step)
            totals.append(result)
            floors.append(uvloop.run(four_hops_ms()))
    floor = sorted(floors)[len(floors) // 2]
    for name, values in (("step", steps), ("floor: four bare gRPC hops", floors)):
        print(f"{name:42} n {len(values):5}  " + "  ".join(f"{value:.2f}" for value in values) + "  ms")
    print(f"{'step / floor, by the medians':42} {sorted(steps)[len(steps) // 2] / floor:.2f}")
    differing = [one for one in totals if one != totals[0]]
    print(f"totals of {RUNS} runs equal: {'NO' if differing else 'yes'}")
    for one in [totals[0], *differing] if differing else []:
        print(json.dumps(one))
    return 1 if differing else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["echo"]:
        uvloop.run(echo(int(sys.argv[2])))
    else:
        sys.exit(main())
