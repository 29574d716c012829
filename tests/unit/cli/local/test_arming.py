"""``titan up --arm`` waits for the preconditions as long as they take, and says what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from titan.cli.errors import BadInput, Unreachable
from titan.cli.local import arming
from titan.cli.local.arming import FirstArming, NeverArmedError
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

Answer = b.SetPostureResponse | Exception


class FakeBrain:
    """Client of a Brain that gives one answer after another, the last one for ever."""

    def __init__(self, answers: Sequence[Answer], freeze: asyncio.Event | None = None) -> None:
        self._answers = list(answers)
        self._freeze = freeze

    async def call(self, *_: object) -> b.SetPostureResponse:
        if self._freeze is not None:
            await self._freeze.wait()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(*preconditions: str, ceiling: c.Posture = c.POSTURE_ARMED, never_set: bool = True) -> b.SetPostureResponse:
    posture = b.PostureState(latch=c.POSTURE_ARMED, ceiling=ceiling, latch_never_set=never_set, by="anna")
    return b.SetPostureResponse(
        reason=c.REASON_PRECONDITION, message="execution refused", preconditions=preconditions, posture=posture
    )


ARMED = b.SetPostureResponse(done=True)


async def quiet() -> None:
    await asyncio.Event().wait()


async def arm(brain: FakeBrain, reports: list[str]) -> str:
    return await FirstArming(brain, "demo").run(quiet, reports.append)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("description", "answers", "outcome"),
    [
        (
            "brain comes late",
            [Unreachable("brain does not answer")] * 3 + [ARMED],
            "armed: paper money only, policy demo",
        ),
        ("a precondition comes late", [refused("truth: unknown"), ARMED], "armed: paper money only, policy demo"),
        ("an armed stack is resumed", [Unreachable("x"), refused(never_set=False)], "Resumed: ARMED (set by anna)."),
    ],
)
async def test_waits_until_it_is_answered_for_good(description: str, answers: list[Answer], outcome: str) -> None:
    assert await arm(FakeBrain(answers), []) == outcome


@pytest.mark.parametrize(
    ("description", "answer"),
    [
        ("the policy's ceiling", refused("ceiling: HALTED", ceiling=c.POSTURE_HALTED)),
        ("two persons", refused("policy: twoPersonArm is true; one person alone cannot arm")),
        ("the latch of execution", refused()),
    ],
)
async def test_does_not_wait_for_a_person(description: str, answer: b.SetPostureResponse) -> None:
    with pytest.raises(NeverArmedError):
        await arm(FakeBrain([answer]), [])


async def test_reports_the_wait_for_a_brain_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arming, "REPORT_EVERY_S", 0.01)
    freeze, reports = asyncio.Event(), list[str]()
    task = asyncio.ensure_future(arm(FakeBrain([ARMED], freeze), reports))
    while len(reports) < 2:
        await asyncio.sleep(0)
    freeze.set()
    assert await task == "armed: paper money only, policy demo"
    assert reports[0] == "--arm waits: brain does not answer yet"


async def test_ends_with_a_start_that_fails() -> None:
    async def failed() -> None:
        raise BadInput("brain cannot start: x")

    with pytest.raises(BadInput, match="brain cannot start"):
        await FirstArming(FakeBrain([Unreachable("x")]), "demo").run(failed, [].append)  # type: ignore[arg-type]
