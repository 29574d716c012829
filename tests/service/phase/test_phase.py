"""A phase by its composition root, over real mTLS gRPC, with marketdata and Brain played by the test."""

from __future__ import annotations

import asyncio
import http.client
import json
import uuid
from contextlib import closing

import pytest

from support.market.tape import MS, PERP, T0, S, Tape
from support.processes.phase_scene import STEP_NS, Scene, budget, posture, scene, until
from support.stack.local_processes import Stack
from titan.domain.enums import Side
from titan.domain.market import MarketEvent
from titan.marketdata.bars import BarHistory
from titan.phase.app import PhaseApp
from titan.runtime.process import StartError, running
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o


def breakout(side: Side = Side.BUY) -> list[MarketEvent]:
    return Tape().range(0, 10).breakout(10_300, side).events


def position(quantity: str, opened_ns: int, phase_id: str = "scavenger") -> b.SubmitResponse:
    share = o.PhaseShare(phase_id=phase_id, quantity=quantity, average_entry_price="60015", intent_id="intent-1")
    held = o.Position(symbol=PERP, quantity=quantity, average_entry_price="60015", opened_ns=opened_ns, shares=[share])
    return b.SubmitResponse(positions=b.PhasePositions(positions=[held]))


def metric(app: PhaseApp, name: str, **labels: str) -> float:
    return app.metrics.registry.get_sample_value(name, labels) or 0.0


async def the_intent(made: Scene, number: int = 1) -> b.Intent:
    await until(lambda: len(made.brain.of("intent")) >= number, f"intent {number}")
    intent: b.Intent = made.brain.of("intent")[number - 1]
    return intent


async def test_a_breakout_becomes_an_intent_with_all_that_an_order_needs(stack: Stack) -> None:
    async with scene(stack) as made, made.phase() as app:
        (hello,) = made.brain.of("hello")
        assert (hello.phase_id, hello.policy_hash, hello.strategy) == ("scavenger", made.policy_hash, "scavenger")
        subscription = made.market.subscription
        assert (subscription.subscriber, set(subscription.symbols)) == ("scavenger", {PERP, "BTC/USDT"})
        assert list(subscription.channels) == [m.CHANNEL_QUOTES, m.CHANNEL_TRADES]
        last = made.market.post(breakout())
        intent = await the_intent(made)
        assert (intent.phase_id, intent.symbol, intent.side) == ("scavenger", PERP, c.SIDE_BUY)
        assert intent.policy_hash == made.policy_hash
        assert uuid.UUID(intent.intent_id).version == 7
        assert uuid.UUID(intent.intent_id).int >> 80 == intent.event_time_ns // 1_000_000
        assert [hop.name for hop in intent.hops] == ["marketdata", "scavenger"]
        assert all(hop.duration_ns >= 0 for hop in intent.hops)
        assert (intent.stop_price, intent.target_price) == ("59654.9", "60555.2")
        assert app.status()["undecided_intents"] == [intent.intent_id]
        made.brain.decide(intent, approved=False)
        await until(lambda: not app.brain.undecided, "the decision")
        assert app.status()["last_decision"]["reason"] == "SCORE_TOO_LOW"  # type: ignore[index]
        await until(lambda: made.market.acked == last, "acknowledgement")
        assert metric(app, "titan_phase_decisions_total", reason="SCORE_TOO_LOW") == 1
        assert metric(app, "titan_phase_strategy_total", what="confirmation", reason="buy") == 1
        assert metric(app, "titan_phase_posture") == 4


async def test_in_lockstep_each_step_waits_for_brain_and_answers_with_its_marker(stack: Stack) -> None:
    async with scene(stack, lockstep=True) as made, made.phase():
        events = breakout()
        last = made.market.post(events)
        # Nothing before Brain's marker: neither an acknowledgement nor a marker of the phase.
        await asyncio.sleep(0.3)
        assert (made.market.acked, made.brain.of("marker")) == (-1, [])
        made.brain.post(marker=c.StepMarker(step=0))
        # Two streams: the acknowledgement and the marker arrive in either order.
        await until(lambda: made.market.acked == 0 and len(made.brain.of("marker")) == 1, "step 0")
        assert [marker.step for marker in made.brain.of("marker")] == [0]
        for step in range(1, last + 1):
            made.brain.post(marker=c.StepMarker(step=step))
        await until(lambda: made.market.acked == last and len(made.brain.of("marker")) > last, "all steps")
        assert [marker.step for marker in made.brain.of("marker")] == list(range(last + 1))
        # The intent is posted before the marker of the step whose event caused it.
        kinds = made.brain.kinds()
        marker = made.brain.received[kinds.index("intent") + 1].marker
        (intent,) = made.brain.of("intent")
        assert marker.market_time_ns - STEP_NS <= intent.event_time_ns < marker.market_time_ns


async def test_a_brain_that_comes_back_receives_the_undecided_intent_and_the_marker_again(stack: Stack) -> None:
    async with scene(stack, lockstep=True) as made, made.phase() as app:
        last = made.market.post(breakout())
        made.brain.post(marker=c.StepMarker(step=last))
        first = await the_intent(made)
        await until(lambda: made.market.acked == last, "acknowledgement")
        await made.brain.leave()
        await until(lambda: app.brain.posture is None, "the loss")
        assert "Brain is not connected" in app.not_ready()
        assert app.brain.permission.reason == "no stream to Brain"
        await made.brain.come_back()
        again = await the_intent(made)
        assert again.intent_id == first.intent_id
        assert [hop.name for hop in again.hops] == ["marketdata", "scavenger", "brain-away"]
        assert again.hops[2].duration_ns > 0
        await until(lambda: made.brain.of("marker"), "the marker")
        assert made.brain.kinds()[:3] == ["hello", "intent", "marker"]
        assert made.brain.of("marker")[0].step == last
        made.brain.decide(again, approved=True)
        await until(lambda: not app.brain.undecided, "the decision")
        # Sent again by both sides: a second answer is no second decision.
        made.brain.decide(again, approved=True)
        made.brain.post(positions=b.PhasePositions())
        await until(lambda: metric(app, "titan_phase_decisions_total", reason="OK") == 2, "the second answer")
        assert metric(app, "titan_phase_intents_resent_total") == 1


@pytest.mark.parametrize(
    ("description", "greeting", "intents", "expected"),
    [
        ("armed", (posture(c.POSTURE_ARMED), budget()), 1, "permitted"),
        ("close only: Brain refuses", (posture(c.POSTURE_CLOSE_ONLY), budget()), 1, "permitted"),
        ("halted", (posture(c.POSTURE_HALTED), budget()), 0, "posture HALTED: a test"),
        ("flatten", (posture(c.POSTURE_FLATTEN), budget()), 0, "posture FLATTEN: a test"),
        ("no budget", (posture(c.POSTURE_ARMED),), 0, "no budget from Brain yet"),
        ("an expired budget", (posture(c.POSTURE_ARMED), budget(T0 + 10 * S)), 0, "budget budget-1 has expired"),
    ],
)
async def test_opening_needs_posture_and_budget(
    stack: Stack, description: str, greeting: tuple[b.PostureState | b.Budget, ...], intents: int, expected: str
) -> None:
    async with scene(stack) as made:
        made.brain.greet(
            *(
                b.SubmitResponse(posture=one) if isinstance(one, b.PostureState) else b.SubmitResponse(budget=one)
                for one in greeting
            ),
            b.SubmitResponse(positions=b.PhasePositions()),
        )
        async with made.phase() as app:
            last = made.market.post(breakout())
            await until(lambda: made.market.acked == last, description)
            await until(lambda: len(made.brain.of("marker")) == last + 1, "the last marker")
            assert len(made.brain.of("intent")) == intents
            assert app.status()["opening"] == expected
            assert metric(app, "titan_phase_strategy_total", what="abort", reason="not_permitted") == 1 - intents


@pytest.mark.parametrize(
    ("description", "in_force", "closes"),
    [("armed", c.POSTURE_ARMED, 1), ("halted: exits go on", c.POSTURE_HALTED, 1), ("flatten", c.POSTURE_FLATTEN, 0)],
)
async def test_a_restarted_phase_closes_its_position_when_the_time_is_over(
    stack: Stack, description: str, in_force: c.Posture, closes: int
) -> None:
    async with scene(stack) as made:
        made.brain.greet(
            b.SubmitResponse(posture=posture(in_force)),
            b.SubmitResponse(budget=budget()),
            position("-0.004", T0 + 5 * S),
        )
        async with made.phase() as app:
            before = made.market.post_step([], T0 + 34 * S)
            await until(lambda: made.market.acked == before, "time")
            assert not made.brain.of("intent")
            last = made.market.post_step(Tape().quote(35_010, 60_000.0, 60_000.1).events, T0 + 35_050 * MS)
            await until(lambda: len(made.brain.of("marker")) == last + 1, description)
            assert len(made.brain.of("intent")) == closes
            if closes:
                intent = made.brain.of("intent")[0]
                assert (intent.action, intent.side, intent.quantity) == (b.ACTION_CLOSE, c.SIDE_BUY, "0.004")
                assert intent.setup == "time-exit"
            assert app.status()["position"]["quantity"] == "-0.004"  # type: ignore[index]


async def test_another_phase_s_share_is_not_its_own(stack: Stack) -> None:
    async with scene(stack) as made:
        made.brain.greet(*made.brain.greeting[:2], position("0.5", T0, phase_id="hunter"))
        async with made.phase() as app:
            assert app.status()["position"] is None


async def test_a_restarted_phase_is_warm_from_marketdata_s_bars(stack: Stack) -> None:
    async with scene(stack) as made:
        history = BarHistory()
        history.on_events(Tape().range(0, 10).events, T0 + 10 * S)
        made.market.history = history.closed()
        async with made.phase() as app:
            assert [level["price"] for level in app.status()["levels"]] == [60_010.0, 59_990.0]  # type: ignore[attr-defined]
            # The first trade is inside the range: the crossing is then observed, not inferred.
            made.market.post(Tape().trade(10_020, PERP, 60_000.0).breakout(10_300).events)
            assert (await the_intent(made)).side == c.SIDE_BUY


async def test_the_day_s_trades_outlive_the_process(stack: Stack) -> None:
    async with scene(stack) as made:
        async with made.phase() as app:
            fill = o.Fill(
                trade_id="1",
                client_order_id="t1",
                intent_id="intent-1",
                phase_id="scavenger",
                order_role=o.ORDER_ROLE_ENTRY,
                symbol=PERP,
                side=c.SIDE_BUY,
                quantity="0.004",
                price="60015",
                fee="0.1",
                fee_currency="USDT",
                event_time_ns=T0,
            )
            made.brain.post(fill=fill)
            await until(lambda: app.status()["trades_today"] == 1, "the fill")
        assert json.loads(made.state_file.read_text())["trades_today"] == 1
        async with made.phase() as restarted:
            assert restarted.status()["trades_today"] == 1


async def test_http_shows_readiness_and_status(stack: Stack) -> None:
    async with scene(stack) as made:

        def get(path: str) -> tuple[int, str]:
            with closing(http.client.HTTPConnection("127.0.0.1", made.settings.http_port, timeout=60)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()

        async with made.phase():
            made.market.post(Tape().range(0, 8).events)
            await until(lambda: made.market.acked >= 0, "steps")
            code, body = await asyncio.to_thread(get, "/health")
            assert (code, json.loads(body)["status"]) == (200, "ok")
            status = json.loads((await asyncio.to_thread(get, "/status"))[1])
            assert status["market"]["label"] == "SIMULATED MARKET"
            assert (status["policy_hash"], status["posture"]) == (made.policy_hash, "ARMED")
            assert 'titan_phase_strategy_total{reason="",what="warm_up_bar"}' not in body
            await made.brain.leave()
            await until(lambda: not made.app.brain.connected, "the loss")
            code, body = await asyncio.to_thread(get, "/health")
            assert (code, json.loads(body)["reasons"]) == (503, ["Brain is not connected"])


async def test_a_message_that_cannot_be_read_ends_the_process(stack: Stack) -> None:
    async with scene(stack) as made, made.phase() as app:
        failed = asyncio.ensure_future(app.failed())
        await asyncio.sleep(0)
        made.brain.post(budget=b.Budget(budget_id="x", state=b.BUDGET_STATE_ACTIVE, max_notional="1e5"))
        assert "max_notional: '1e5' is not a canonical decimal" in await asyncio.wait_for(failed, 5)


async def test_a_market_without_its_symbols_ends_the_process(stack: Stack) -> None:
    async with scene(stack) as made:
        made.market.instruments = made.market.instruments[:1]
        async with running(made.app):
            reason = await asyncio.wait_for(made.app.failed(), 5)
            assert reason == "symbol BTC/USDT is not listed by the market; it lists BTC/USDT:USDT"


@pytest.mark.parametrize(
    ("description", "files", "settings", "expected"),
    [
        ("no policy", {}, {"policy_file": ""}, "policy_file is missing"),
        ("no such policy", {}, {"policy_file": "nowhere.json"}, "policy_file: 'nowhere.json' cannot be read: No such"),
        ("not a policy", {"policy.json": "{}"}, {}, "holds no policy: "),
        ("unknown strategy", {}, {"strategy": "hunter"}, "strategy: 'hunter' is not known; allowed are scavenger"),
        ("bad parameter", {"p.json": '{"hold_ms": -1}'}, {"parameters_file": "p.json"}, "hold_ms: -1 is not allowed"),
        ("no parameters", {}, {"parameters_file": "p.json"}, "cannot be read: No such file"),
        ("a damaged state file", {"scavenger/phase.json": "{"}, {}, "phase.json' cannot be read"),
    ],
)
async def test_a_problem_at_the_start_is_one_sentence(
    stack: Stack, description: str, files: dict[str, str], settings: dict[str, str], expected: str
) -> None:
    made = Scene(stack, lockstep=False)
    for name, content in files.items():
        (stack.directory / name).write_text(content)
    paths = {
        key: str(stack.directory / value) if value.endswith("p.json") else value for key, value in settings.items()
    }
    with pytest.raises(StartError) as caught:
        async with running(
            PhaseApp(
                stack.settings(type(made.settings), "scavenger", **{"policy_file": str(made.policy_file), **paths})
            )
        ):
            raise AssertionError(description)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
