"""``titan up --arm``: arm a state that was never armed, as soon as the preconditions hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from titan.cli.errors import Refused, Unreachable
from titan.cli.local.acts import kept, sentence, set_posture
from titan.cli.local.client import StackClient

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b

# An attempt may take long: a process that is stopped answers when it continues. The wait is reported meanwhile.
REPORT_EVERY_S = 10.0
_TRY_EVERY_S = 0.1


class NeverArmedError(Exception):
    """Waiting does not help; the message says what refuses the arming."""


class FirstArming:
    """Attempts to arm until one is answered for good. Without a limit: a loaded machine only takes longer."""

    def __init__(self, client: StackClient, policy: str) -> None:
        self._client = client
        self._policy = policy
        self._waits_for = "brain does not answer yet"

    async def run(self, next_change: Callable[[], Awaitable[None]], report: Callable[[str], None]) -> str:
        """Arm, and report at intervals what the arming waits for.

        Parameters
        ----------
        next_change
            Wait for the next change of a process; raises when a start has failed.
        report
            Show one sentence.

        Returns
        -------
        str
            The outcome: armed now, or the posture of an earlier run.

        Raises
        ------
        NeverArmedError
            When waiting does not help.
        """
        attempts = asyncio.ensure_future(self._attempts())
        watch = asyncio.ensure_future(_watch(next_change))
        try:
            while not attempts.done():
                await asyncio.wait((attempts, watch), timeout=REPORT_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()
                if not attempts.done():
                    report(f"--arm waits: {self._waits_for}")
            return attempts.result()
        finally:
            for task in (attempts, watch):
                task.cancel()
            await asyncio.wait((attempts, watch))

    async def _attempts(self) -> str:
        while True:
            outcome = await self._attempt()
            if outcome is not None:
                return outcome
            await asyncio.sleep(_TRY_EVERY_S)

    async def _attempt(self) -> str | None:
        """Try once; None where another attempt may succeed."""
        from titan.v1 import common_pb2 as c

        try:
            response = await set_posture(
                self._client, c.POSTURE_ARMED, "titan up --arm", "armed at the first start", only_if_never_set=True
            )
        except (Unreachable, Refused) as error:
            self._waits_for = str(error)
            return None
        if response.done:
            return f"armed: paper money only, policy {self._policy}"
        if not response.posture.latch_never_set:
            return kept(response.posture)
        if _is_final(response):
            raise NeverArmedError(sentence(response))
        self._waits_for = sentence(response)
        return None


def _is_final(response: b.SetPostureResponse) -> bool:
    """Whether the refusal stays the same without an act of a person."""
    from titan.risk.posture import TWO_PERSONS
    from titan.v1 import common_pb2 as c

    if response.preconditions:
        return response.posture.ceiling < c.POSTURE_ARMED or TWO_PERSONS in response.preconditions
    # Brain's preconditions hold. What is left is a latch that an act has set, or that cannot be stored.
    return response.reason != c.REASON_EXECUTION_AWAY


async def _watch(next_change: Callable[[], Awaitable[None]]) -> None:
    while True:
        await next_change()
