"""The execution process as it is, with one hook: when the write of each order to the venue process begins.

At its end it writes the observed times to the file named by ``BENCH_OUTPUT``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from titan.execution.app import ExecutionApp
from titan.runtime.process import run


class Observed(ExecutionApp):
    """Execution that records times of the monotonic clock, which all processes of one machine share."""

    async def start(self) -> None:
        self.begun: list[tuple[str, int]] = []
        await super().start()
        assert self.session is not None

        def before_write(order_id: str) -> None:
            # A stream that is free takes the message within this call.
            self.begun.append((order_id, time.perf_counter_ns()))

        self.session.venue.before_write = before_write

    async def stop(self) -> None:
        session = self.session
        await super().stop()
        if session is not None:
            document = {
                "begun": self.begun,
                "place_ns": list(session.intake.durations_ns),
                "syncs": session.store.journal.syncs,
                "appended": session.store.journal.last_sequence,
            }
            Path(os.environ["BENCH_OUTPUT"]).write_text(json.dumps(document))


if __name__ == "__main__":
    run(Observed)
