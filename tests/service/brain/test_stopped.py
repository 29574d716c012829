"""A Brain process that is stopped (SIGSTOP) in real time: what waited for it is too old, whatever its hops say."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from support.processes.brain_scene import Scene, until
from support.stack.local_processes import Stack
from titan.storage.migrate import upgrade_async
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

# maxSignalAgeMs is 1,000. Other lengths belong to `make chaos`.
LONGER = [pytest.param(stop_s, marks=pytest.mark.chaos) for stop_s in (1.2, 4.0, 8.0)]


@pytest.mark.parametrize("stop_s", [2.0, *LONGER])
async def test_an_intent_that_waited_for_a_stopped_brain_is_too_old(stack: Stack, stop_s: float) -> None:
    made = Scene(stack, False, ("scavenger",))
    await upgrade_async(stack.database("brain"), "brain")
    await made.market.server.start()
    await made.execution.server.start()
    environment = stack.environment(made.settings)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "titan.brain.app", env=environment)
    try:
        await until(lambda: made.execution.streams and made.market.streams, "Brain is connected")
        await made.phase.connect(made.policy_hash)
        made.market.post_step()
        await until(lambda: made.market.acked >= 0, "Brain has a price")
        assert (await made.act(c.POSTURE_ARMED)).done
        await until(lambda: made.phase.of("budget") and made.phase.of("budget")[-1].state == b.BUDGET_STATE_ACTIVE, "")
        first = await made.phase.submit()
        assert first.reason != c.REASON_SIGNAL_TOO_OLD, first.message
        process.send_signal(signal.SIGSTOP)
        waited = made.phase.intent(setup="waits")
        made.phase.stream.post(b.SubmitRequest(intent=waited))
        await asyncio.sleep(stop_s)
        made.market.post_step(jump_ns=int(stop_s * 1e9))
        process.send_signal(signal.SIGCONT)
        await until(lambda: len(made.phase.of("decision")) == 2, "the decision")
        decision = made.phase.of("decision")[-1]
        assert decision.intent_id == waited.intent_id
        assert decision.reason == c.REASON_SIGNAL_TOO_OLD, decision.message
        assert sum(hop.duration_ns for hop in waited.hops) < 1_000_000, "no part that was measured shows the wait"
        fresh = await made.phase.submit(setup="fresh")
        assert fresh.reason != c.REASON_SIGNAL_TOO_OLD, fresh.message
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        await process.wait()
        await made.phase.close()
        await made.cli.close()
        await made.operator.close()
        await made.execution.server.stop(0)
        await made.market.server.stop(0)
