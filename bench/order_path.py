"""The order path: intent at the phase → the write to the venue process begins. Real processes, real disk, open loop.

Run: ``python bench/order_path.py [SECONDS]``. Brain, Execution, paper venue and marketdata are the processes users run
(Execution with one hook that notes the moment); this process is the phase. The recorded feed flows at its own speed
(the simulated one where there are no recordings). In the same run and under the same load, half a period later, a bare
message goes the floor's way: two bare gRPC stream hops between processes and one bare fdatasync. Everything is printed
with mTLS and without. To reach: p99 at most 1.3 times the floor's; Execution's own part at most a bare fdatasync's p99
plus 150 us; one sync an order.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import msgspec
import uvloop
import yaml

# Figures only: gRPC writes a line for each connection that ends. It reads this when it is imported.
os.environ["GRPC_VERBOSITY"] = "NONE"
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT / "ci")]

from _floor import METHOD, open_channel  # noqa: E402
from testcluster.ports import free_ports  # noqa: E402

from support.stack.local_processes import Stack  # noqa: E402
from titan.brain.settings import BrainSettings  # noqa: E402
from titan.domain.enums import OrderRole  # noqa: E402
from titan.domain.ids import client_order_id  # noqa: E402
from titan.domain.policy_hash import policy_hash  # noqa: E402
from titan.execution.settings import ExecutionSettings  # noqa: E402
from titan.marketdata.settings import MarketDataSettings  # noqa: E402
from titan.papervenue.settings import PaperVenueSettings  # noqa: E402
from titan.runtime.market_feed import MarketFeed  # noqa: E402
from titan.runtime.rpc.client import RpcChannel  # noqa: E402
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, BRAIN_SET_POSTURE, BRAIN_SUBMIT  # noqa: E402
from titan.runtime.rpc.link import Link  # noqa: E402
from titan.runtime.settings import ProcessSettings  # noqa: E402
from titan.runtime.telemetry.logs import configure_logging, get_logger  # noqa: E402
from titan.runtime.telemetry.metrics import Metrics  # noqa: E402
from titan.storage.migrate import upgrade  # noqa: E402
from titan.storage.schema import default_url  # noqa: E402
from titan.v1 import brain_pb2 as b  # noqa: E402
from titan.v1 import common_pb2 as c  # noqa: E402
from titan.v1 import market_pb2 as m  # noqa: E402

PERP = "BTC/USDT:USDT"
PERIOD_S = 0.05
WARM_UP = 60
# An intent, and an order with its decision, in bytes on the wire: what the floor's messages weigh.
INTENT_BYTES, ORDER_BYTES = 420, 1_600
RECORDINGS = Path(os.environ.get("TITAN_DATA_DIR") or ROOT.parent / "shared" / "data")


def percentile(values: list[int], share: float) -> float:
    """Quantiles in microseconds."""
    return sorted(values)[int(share * (len(values) - 1))] / 1e3


def row(name: str, values: list[int]) -> str:
    return f"{name:42} n {len(values):5}  p50 {percentile(values, 0.5):8.0f} us  p99 {percentile(values, 0.99):8.0f} us"


def policy_file(folder: Path) -> tuple[Path, str]:
    """The demo policy with room for an order each tenth of a second, all day, each beside those before."""
    rules = yaml.safe_load((ROOT / "policies" / "demo.yaml").read_text())["spec"]["rules"]
    rules |= {"lossStreakCount": 100, "maxEntryOrdersPerSymbol": 100, "minEdgeToCost": "0", "maxDailyLoss": "100000"}
    rules |= {"maxDailyLossFraction": "0.5", "maxCorrelation": "1", "latencyReduceMs": 5000, "latencyRejectMs": 10000}
    path = folder / "rules.json"
    path.write_text(json.dumps(rules))
    return path, policy_hash(rules)


class Bench:
    """One run: starts the processes, drives them, stops them, reads what they saw."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.stack = Stack(folder)
        self.identity = identity
        self.rules, self.hash = policy_file(folder)
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.sent: dict[str, int] = {}
        self.floor_sent = 0
        self.quote: m.Quote | None = None
        self.quantities: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.feed_events = 0

    def settings(self, kind: type[Any], role: str, **fields: Any) -> Any:
        return self.stack.settings(kind, role, identity=self.identity, log_level="warning", **fields)

    def start(self) -> None:
        files = [str(path) for path in sorted(RECORDINGS.glob("examples_*_20240808.gz"))]
        source = {"source": "replay", "files": tuple(files)} if files else {"source": "simulated"}
        required = ("papervenue", "execution", "brain", "scavenger")
        parameters = self.folder / "brain-parameters.json"
        parameters.write_text(
            '{"orders_per_minute": 100000, "budget_drawdown": "1", "loss_streak_window_ns": 1000000000}'
        )
        brain = self.settings(BrainSettings, "brain", policy_file=str(self.rules), parameters_file=str(parameters))
        execution = self.settings(ExecutionSettings, "execution", policy_file=str(self.rules))
        upgrade(default_url(brain.state_dir, "brain"), "brain")
        upgrade(default_url(execution.state_dir, "execution"), "execution")
        market = self.settings(MarketDataSettings, "marketdata", required_subscribers=required, **source)
        venue = self.settings(PaperVenueSettings, "papervenue", initial_balance="100000")
        self.launch("marketdata", ["-m", "titan.marketdata.app"], market)
        self.launch("papervenue", ["-m", "titan.papervenue.app"], venue)
        self.launch("execution", [str(ROOT / "bench" / "_execution.py")], execution)
        self.launch("brain", ["-m", "titan.brain.app"], brain)
        first, second = free_ports(2)
        self.floor_port = first
        for port, onward, role, next_role in ((second, 0, "execution", "-"), (first, second, "brain", "execution")):
            tls = "-" if self.identity == "plain" else str(self.stack.tls(role))
            arguments = [port, onward, ORDER_BYTES, tls, next_role, self.folder / "execution" / f"floor-{onward}.json"]
            self.spawn(f"floor {role}", [str(ROOT / "bench" / "_floor.py"), *map(str, arguments)], dict(os.environ))

    def launch(self, role: str, command: list[str], settings: Any) -> None:
        environment = {**self.stack.environment(settings), "BENCH_OUTPUT": str(self.folder / f"{role}.json")}
        self.spawn(role, command, environment)

    def spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a process; its lines go to a file, which is shown only when it fails."""
        with self.log_file(name).open("wb") as log:
            self.children[name] = subprocess.Popen(
                [sys.executable, *command], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def stop(self) -> None:
        for child in reversed(self.children.values()):
            child.terminate()
        for name, child in self.children.items():
            if child.wait(20) != 0:
                raise RuntimeError(f"{name} ended with {child.returncode}:\n{self.log_file(name).read_text()[-4000:]}")

    async def ready(self, role: str) -> None:
        port = self.stack.http_ports[role]
        async with asyncio.timeout(30):
            while True:
                try:
                    with await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/health", None, 2):
                        return
                except OSError:
                    await asyncio.sleep(0.05)

    async def drive(self, seconds: float) -> dict[str, int]:
        """Send an intent each period, whatever became of the ones before; and the floor's message in between."""
        phase = self.settings(ProcessSettings, "scavenger")
        log = get_logger("bench")

        async def on_batch(batch: m.MarketBatch) -> None:
            self.feed_events += len(batch.events)
            for event in batch.events:
                if event.symbol == PERP and event.HasField("quote"):
                    self.quote = event.quote

        feed = MarketFeed(
            phase, [m.Channel.CHANNEL_QUOTES, m.Channel.CHANNEL_TRADES], lambda _hello: None, on_batch, Metrics(), log
        )
        link: Link[b.SubmitRequest, b.SubmitResponse] = Link(
            RpcChannel(phase, "brain"),
            BRAIN_SUBMIT,
            lambda: [b.SubmitRequest(hello=b.PhaseHello(phase_id="scavenger", policy_hash=self.hash))],
            self.on_message,
            lambda _reason: None,
            log,
        )
        feed.start()
        link.start()
        people = RpcChannel(self.settings(ProcessSettings, "cli"), "brain")
        await self.ready("execution")
        await self.arm(people)
        tls = "-" if self.identity == "plain" else str(self.stack.tls("scavenger"))
        channel = open_channel(self.floor_port, tls, "brain")
        floor = channel.stream_stream(METHOD)(wait_for_ready=True)
        await floor.wait_for_connection()
        memory = {role: resident_mb(child.pid) for role, child in self.children.items() if not role.startswith("floor")}
        gc.collect()
        gc.freeze()
        start_s = time.perf_counter()
        held: list[str] = []
        chance = random.Random(1)
        for number in range(int(seconds / PERIOD_S)):
            # Jittered, so that neither falls into step with market data, heartbeats or the other's echo.
            due_s = start_s + (number + chance.uniform(0, 0.4)) * PERIOD_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            opens = number % 2 == 0
            # What is closed was opened half a second ago, and its fill is known.
            closes = held.pop(0) if not opens and len(held) > 5 else ""
            if opens or closes:
                intent = self.intent(feed.clock.now_ns, number, closes)
                self.sent[intent.intent_id] = time.perf_counter_ns()
                link.post(b.SubmitRequest(intent=intent))
                if opens:
                    held.append(intent.intent_id)
            due_s = start_s + (number + chance.uniform(0.5, 0.9)) * PERIOD_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            if floor.done():
                raise RuntimeError(f"the floor ended: {await floor.code()} {await floor.details()}")
            await floor.write(struct.pack("q", time.perf_counter_ns()) + bytes(INTENT_BYTES - 8))
            self.floor_sent += 1
        memory = {role: resident_mb(child.pid) for role, child in self.children.items() if not role.startswith("floor")}
        await link.stop()
        await feed.stop()
        await people.close()
        floor.cancel()
        await channel.close()
        return memory

    def on_message(self, message: b.SubmitResponse) -> None:
        if message.HasField("decision"):
            decision = message.decision
            if decision.approved:
                self.quantities[decision.intent_id] = decision.quantity
            else:
                name = c.Reason.Name(decision.reason)
                self.refused[name] = self.refused.get(name, 0) + 1

    async def arm(self, people: RpcChannel) -> None:
        async with asyncio.timeout(30):
            while self.quote is None:
                await asyncio.sleep(0.02)
            while True:
                state = await people.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
                if state.equity.known and state.truth.known and state.execution_connected:
                    break
                await asyncio.sleep(0.05)
        act = b.SetPostureRequest(posture=c.Posture.POSTURE_ARMED, by="bench", nonce=uuid.uuid4().hex)
        answer = await people.call(BRAIN_SET_POSTURE, act)
        if not answer.done:
            raise RuntimeError(f"not armed: {answer.message} {list(answer.preconditions)}")
        async with asyncio.timeout(20):
            while not (await people.call(BRAIN_GET_BRAIN, b.GetBrainRequest())).phases[0].budget.max_notional:
                await asyncio.sleep(0.05)

    def intent(self, now_ns: int, number: int, closes: str) -> b.Intent:
        assert self.quote is not None
        price = float(self.quote.ask_price)
        common: dict[str, Any] = {
            "intent_id": str(uuid.uuid4()),
            "phase_id": "scavenger",
            # A setup of its own each time: the win rate of a driftless setup would soon refuse it.
            "setup": f"bench-{number}",
            "symbol": PERP,
            "order_type": c.OrderType.ORDER_TYPE_MARKET,
            "time_in_force": c.TimeInForce.TIME_IN_FORCE_IOC,
            "reference_price": self.quote.ask_price,
            "event_time_ns": now_ns,
            "ttl_ns": 5_000_000_000,
            "policy_hash": self.hash,
            "hops": [c.Hop(name="phase", duration_ns=1_000)],
        }
        if closes:
            return b.Intent(
                side=c.Side.SIDE_SELL,
                action=b.Action.ACTION_CLOSE,
                quantity=self.quantities.get(closes, "0.002"),
                **common,
            )
        return b.Intent(
            side=c.Side.SIDE_BUY,
            action=b.Action.ACTION_OPEN,
            max_notional="130",
            stop_price=f"{price * 0.994:.0f}",
            target_price=f"{price * 1.009:.0f}",
            setup_score=0.98,
            volatility=0.001,
            timeframe_ns=1_000_000_000,
            evidence={"range": "0.1", "imbalance": "0.7", "spot": "confirmed"},
            **common,
        )

    def results(self) -> tuple[list[int], list[int], list[int], list[int], int, int]:
        seen = json.loads((self.folder / "execution.json").read_text())
        begun = dict(seen["begun"])
        path = []
        for intent_id, sent_ns in list(self.sent.items())[WARM_UP:]:
            ids = [
                client_order_id(intent_id, order_role, attempt)
                for order_role in (OrderRole.ENTRY, OrderRole.EXIT)
                for attempt in (0, 1)
            ]
            path += [begun[order_id] - sent_ns for order_id in ids if order_id in begun]
        passed = json.loads((self.folder / "execution" / "floor-0.json").read_text())[WARM_UP:]
        place = [duration for _, duration in seen["place_ns"]][WARM_UP:]
        return (
            path,
            [after - before for before, after, _ in passed],
            place,
            [sync for _, _, sync in passed],
            len(seen["place_ns"]),
            seen["syncs"],
        )


def resident_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    configure_logging("console", "error")
    documents = []
    # A folder on the disk that the stack would use, not a file system in memory.
    (ROOT / ".titan").mkdir(exist_ok=True)
    for identity in ("mtls", "plain"):
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".titan"))
        bench = Bench(folder, identity)
        try:
            bench.start()
            memory = uvloop.run(bench.drive(seconds))
            bench.stop()
            path, floor, place, fdatasync, placed, syncs = bench.results()
        finally:
            for child in bench.children.values():
                child.kill()
                child.wait()
            shutil.rmtree(folder)
        if len(path) < 50 or len(floor) < 50:
            print(f"too few orders: {len(path)}, refused {bench.refused}", file=sys.stderr)
            return 1
        ratio = percentile(path, 0.99) / percentile(floor, 0.99)
        own = percentile(place, 0.99) - percentile(fdatasync, 0.99)
        print(f"-- {identity}: {1 / PERIOD_S:.0f} intents/s open loop, feed {bench.feed_events / seconds:.0f} events/s")
        print(row("intent at the phase -> write to venue", path))
        print(row("floor: two bare gRPC hops, one fdatasync", floor))
        median = percentile(path, 0.5) / percentile(floor, 0.5)
        print(f"{'ratio path / floor':42} p50 {median:.2f}  p99 {ratio:.2f}  (to reach: 1.30)")
        print(row("Execution's own part", place))
        print(row("bare fdatasync", fdatasync))
        print(f"{'own part p99 - fdatasync p99':42} {own:.0f} us  (to reach: 150)")
        print(f"journal syncs {syncs} in all for {placed} orders of Brain's: one an order, the rest behind fills")
        print(f"refused {bench.refused or 'none'}; resident MB {memory}")
        documents.append({"identity": identity, "ratio_p99": round(ratio, 2), "own_minus_fdatasync_us": round(own)})
    print(msgspec.json.encode(documents).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
