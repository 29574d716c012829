"""Properties that hold on every tape, whatever the market does."""

from __future__ import annotations

import random
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from support.market.tape import MS, PERP, SPOT, T0, Tape, decide, holding, play, scavenger
from titan.domain.enums import Action, Side
from titan.domain.market import Bar, MarketEvent
from titan.domain.numbers import is_multiple
from titan.marketdata.bars import BarHistory

TICK = Decimal("0.1")

# A wandering tape that breaks out often: (milliseconds on, which, ticks up or down, buy, quantity).
STEPS = st.lists(
    st.tuples(st.integers(1, 700), st.sampled_from("PPSSQ"), st.integers(-60, 60), st.booleans(), st.integers(1, 30)),
    min_size=60,
    max_size=250,
)


def wander(steps: list[tuple[int, str, int, bool, int]]) -> list[MarketEvent]:
    tape, at_ms, price = Tape(), 0, 60_000.0
    for wait_ms, what, ticks, buy, quantity in steps:
        at_ms += wait_ms
        price = round(max(1.0, price + ticks / 10), 1)
        if what == "Q":
            tape.quote(at_ms, round(price - 0.1, 1), price)
        else:
            symbol = PERP if what == "P" else SPOT
            tape.trade(at_ms, symbol, price, Side.BUY if buy else Side.SELL, str(quantity / 10))
    return tape.events


@given(STEPS, st.booleans())
def test_every_opening_draft_has_stop_and_target_on_the_right_sides(
    steps: list[tuple[int, str, int, bool, int]], approved: bool
) -> None:
    strategy = scavenger(cooldown_ms=100, min_imbalance=0.0, early_score=0.1, min_range_bps=0.0, ttl_ms=200)
    references = []
    for event in wander(steps):
        for draft in strategy.on_event(event):
            references.append(draft.reference)
            assert 0.0 <= draft.setup_score <= 1.0
            assert draft.event_time_ns == event.market_time_ns
            assert draft.volatility >= 0.0
            if draft.action is Action.OPEN:
                sign = draft.side.sign
                assert draft.stop_price * sign < draft.reference_price * sign < draft.target_price * sign
                assert is_multiple(draft.stop_price, TICK)
                assert is_multiple(draft.target_price, TICK)
                assert draft.quantity == 0
                assert strategy.status()["position"] is None
                decide(strategy, draft, approved)
                if approved:
                    strategy.on_positions(holding(f"{0.01 * sign}", (event.market_time_ns - T0) // MS))
            else:
                assert draft.quantity > 0
                strategy.on_positions([])
    assert references == list(range(1, len(references) + 1))


@given(STEPS)
def test_equal_tapes_give_equal_drafts_and_the_future_changes_nothing(
    steps: list[tuple[int, str, int, bool, int]],
) -> None:
    events = wander(steps)
    half = len(events) // 2
    whole = play(scavenger(), events)
    assert whole == play(scavenger(), events)
    part = play(scavenger(), events[:half])
    assert whole[: len(part)] == part
    assert all(draft.event_time_ns >= events[half].market_time_ns for draft in whole[len(part) :])


@given(STEPS)
def test_a_warmed_strategy_sees_the_levels_of_one_that_never_stopped(
    steps: list[tuple[int, str, int, bool, int]],
) -> None:
    """Restarted on a whole second with marketdata's bars: from the next closed bar on all levels are the same."""
    events = wander(steps)
    cut_ns = (events[len(events) // 2].market_time_ns // (1_000 * MS)) * 1_000 * MS
    past = [event for event in events if event.market_time_ns < cut_ns]
    history = BarHistory()
    history.on_events(past, cut_ns)
    bars: list[Bar] = history.closed()
    steady, heir = scavenger(), scavenger()
    play(steady, past)
    steady.on_time(cut_ns)
    heir.warm_up(bars)
    heir.on_time(cut_ns)
    if len([bar for bar in bars if bar.symbol == PERP]) >= 5:
        assert prices(heir.status()) == prices(steady.status())


def prices(status: dict[str, object]) -> list[tuple[object, object]]:
    levels = status["levels"]
    assert isinstance(levels, list)
    return [(level["side"], level["price"]) for level in levels]


def test_wandering_tapes_do_break_out() -> None:
    """The properties above would hold on tapes without a single draft."""
    chance = random.Random(7)
    drafts = 0
    for _ in range(20):
        steps = [
            (chance.randint(1, 700), chance.choice("PPSSQ"), chance.randint(-60, 60), chance.random() < 0.5, 10)
            for _ in range(250)
        ]
        drafts += len(play(scavenger(cooldown_ms=100, min_imbalance=0.0, early_score=0.1), wander(steps)))
    assert drafts > 20
