"""Brain's process: its settings, the state that it keeps, and its answers to people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.processes.brain_scene import START_NS, FakePhase, Scene, scene, state_folder, until
from support.stack.local_processes import Stack
from titan.brain.app import BrainApp
from titan.brain.settings import BrainSettings
from titan.domain.time import NS_PER_DAY, utc_day
from titan.runtime.process import StartError, running
from titan.runtime.rpc.contract import BRAIN_EXPLAIN_DECISION, BRAIN_GET_BRAIN, BRAIN_LIST_DECISIONS
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e


async def test_a_restart_keeps_posture_term_and_decisions(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        first = await made.phase.submit(intent_id="before-the-restart")
        await made.act(c.POSTURE_HALTED, nonce="")
    made = Scene(stack, False, ("scavenger",))
    app = BrainApp(made.settings)
    async with running(app):
        assert app.term == 2
        assert app.controller.state.in_force.name == "HALTED"
        phase = FakePhase(stack)
        await phase.connect(made.policy_hash)
        # Known before any market or Execution is there.
        app.core.deciding = True
        again = await phase.submit(intent_id="before-the-restart")
        await phase.close()
        await made.cli.close()
    assert again == first


def reasons(phase: FakePhase) -> list[str]:
    """The reasons of the modifiers of all budgets that the phase has had."""
    return [budget.modifier_reason for budget in phase.of("budget")]


async def test_a_restart_keeps_the_days_of_the_sharpe_modifier(stack: Stack) -> None:
    """Thirty days that lost: Execution's account has their results, Brain's own tables their allocations."""
    first_day = utc_day(START_NS) + 1
    results = [
        e.DayResult(phase_id="scavenger", day=first_day + day, result=str(-1 - day % 2), trades=1) for day in range(30)
    ]
    async with scene(stack, before=lambda made: made.execution.account.day_results.extend(results)) as made:
        for day in range(30):
            made.market.post_step(jump_ns=NS_PER_DAY)
            capital = made.app.risk_state.capital
            await until(lambda at=first_day + day, known=capital: at in known.of("scavenger"), "the day's first budget")
        ended_ns = made.market.now_ns
        await until(lambda: "29 of 30 days" in reasons(made.phase), "the budget at the phase")
        assert await made.app.store.flush(5.0)

    def later(made: Scene) -> None:
        made.execution.account.day_results.extend(results)
        made.market.now_ns = ended_ns

    async with scene(stack, migrate=False, before=later) as made:
        made.market.post_step(jump_ns=NS_PER_DAY)
        await until(lambda: "psr=0.000 of 30 days, 30 trades" in reasons(made.phase), "the modifier at the phase")
        assert made.phase.of("budget")[-1].modifier == "0.5"
        assert json.loads(json.dumps(made.app.status()))["phases"]["scavenger"]["budget"]["modifier"] == "0.5"


async def test_people_see_state_and_decisions(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        taken = await made.phase.submit(intent_id="aaaa-taken")
        refused = await made.phase.submit(intent_id="bbbb-refused", setup_score=0.1)
        brain = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert brain.market_label == "SIMULATED MARKET"
        assert {one.reason: one.count for one in brain.decisions} == {c.REASON_OK: 1, c.REASON_SCORE_TOO_LOW: 1}
        assert brain.phases[0].approved == 1
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(limit=10))
        assert list(listed.decisions) == [refused, taken]
        only = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(approved=True))
        assert list(only.decisions) == [taken]
        explained = await made.cli.call(BRAIN_EXPLAIN_DECISION, b.ExplainDecisionRequest(intent_id="bbbb"))
        assert explained.decision == refused
        for beginning, expected in (("zzzz", "no decision"), ("bb", "too short")):
            none = await made.cli.call(BRAIN_EXPLAIN_DECISION, b.ExplainDecisionRequest(intent_id=beginning))
            assert not none.found
            assert expected in none.message
        status = json.loads(json.dumps(made.app.status(), default=str))
        assert status["decisions"] == {"OK": 1, "SCORE_TOO_LOW": 1}
        exposition = made.app.metrics.exposition().decode()
        assert "titan_brain_posture 4.0" in exposition
        assert 'titan_brain_guard_verdicts_total{guard="score",verdict="reject"} 1.0' in exposition


async def test_a_foreign_schema_stays_unready_and_cannot_be_armed(stack: Stack) -> None:
    async with scene(stack, migrate=False) as made:
        assert any("no brain schema yet" in reason for reason in made.app.not_ready())
        response = await made.act(c.POSTURE_ARMED)
        assert not response.done
        assert any("no brain schema yet" in line for line in response.preconditions)


async def test_a_file_that_goes_away_does_not_stop_trading(stack_dir: Path) -> None:
    async with scene(Stack(stack_dir)) as made:
        await made.armed()
        await made.phase.submit()
        assert await made.app.store.flush(5.0)
        for name in ("brain.db", "brain.db-wal", "brain.db-shm"):
            (state_folder(made) / name).unlink(missing_ok=True)
        await made.app._database.dispose()
        decision = await made.phase.submit()
        assert decision.approved, decision.message
        await until(lambda: made.app.store.problem, "the problem is reported")
        brain = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert brain.decisions_unsaved == 1
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(), 10.0)
        assert len(listed.decisions) == 2


@pytest.mark.parametrize(
    ("description", "settings", "expected"),
    [
        ("no policy", {"policy_file": ""}, "policy_file is missing"),
        ("a file that holds no policy", {"policy_file": "broken"}, "holds no policy"),
        ("an unknown phase", {"phases": ("ghost",)}, "phases: 'ghost' is not known; allowed are scavenger, hunter"),
        ("leverage below one", {"margin_leverage": {"scavenger": "0.5"}}, "0.5 is below 1"),
    ],
)
async def test_wrong_settings_stop_the_start(
    stack: Stack, description: str, settings: dict[str, object], expected: str
) -> None:
    made = Scene(stack, False, ("scavenger",))
    if settings.get("policy_file") == "broken":
        path = stack.directory / "broken.json"
        path.write_text('{"modes": ["paper"]}')
        settings = {"policy_file": str(path)}
    common = {"policy_file": str(made.policy_file)}
    with pytest.raises(StartError, match=expected):
        BrainApp(stack.settings(BrainSettings, "brain", **{**common, **settings}))
    await made.cli.close()


async def test_a_term_that_cannot_be_read_stops_the_start(stack: Stack) -> None:
    made = Scene(stack, False, ("scavenger",))
    (state_folder(made) / "term").write_text("many")
    with pytest.raises(StartError, match="holds no term"):
        BrainApp(made.settings)
    await made.cli.close()


async def test_a_port_in_use_is_named(stack: Stack) -> None:
    async with scene(stack) as made:
        other = Scene(stack, False, ("scavenger",))
        taken = stack.settings(
            BrainSettings, "brain", policy_file=str(other.policy_file), http_port=stack.http_ports["cli"]
        )
        with pytest.raises(StartError, match=f"grpc_port: 127.0.0.1:{stack.grpc_ports['brain']}"):
            async with running(BrainApp(taken)):
                pass
        await other.cli.close()
        assert made.app.term == 1
