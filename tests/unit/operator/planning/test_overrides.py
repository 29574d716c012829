"""Flags of `titan up` override the resources."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.stack.plans import ROOT, STACK, read
from support.stack.texts import DEMO, without
from titan_operator.planning.overrides import OverrideError, Overrides, apply_overrides
from titan_operator.planning.plan import Plan, Workload, plan


@pytest.mark.parametrize(
    ("description", "flags", "expected"),
    [
        ("a seed", Overrides(seed=7), {"source": "simulated", "seed": "7", "speed": "1"}),
        ("a speed", Overrides(speed="10"), {"source": "simulated", "seed": "1", "speed": "10"}),
        ("a duration", Overrides(duration_s=60), {"duration_s": "60", "seed": "1"}),
        ("recordings", Overrides(market_files=("/a",)), {"source": "replay", "files": "/a", "speed": "1"}),
    ],
)
def test_flags_override_resources(description: str, flags: Overrides, expected: dict[str, str]) -> None:
    resources = read(DEMO, STACK)
    changed = plan(apply_overrides(resources, flags))
    market = changed.workload("marketdata")
    assert {key: market.settings[key] for key in expected} == expected
    others: Callable[[Plan], list[Workload]] = lambda planned: [w for w in planned.workloads if w.role != "marketdata"]  # noqa: E731
    assert others(changed) == others(plan(resources))


def test_no_flags_change_nothing() -> None:
    resources = read(DEMO, STACK)
    assert apply_overrides(resources, Overrides()) == resources


@pytest.mark.parametrize(
    ("description", "texts", "flags", "sentence"),
    [
        ("negative seed", [STACK], Overrides(seed=-1), r"^--seed: -1 \(an integer\); allowed is an integer from 0"),
        ("speed below real time", [STACK], Overrides(speed="0.1"), r"^--speed: '0.1' \(a string\); allowed is \"max\""),
        ("speed that is no number", [STACK], Overrides(speed="fast"), r"^--speed: 'fast' \(a string\); allowed is"),
        (
            "no duration",
            [STACK],
            Overrides(duration_s=0),
            r"^--duration: 0 \(an integer\); allowed is an integer from 1",
        ),
        (
            "a seed for recordings",
            [STACK],
            Overrides(("a",), seed=1),
            r"^--seed: 1 with --market; allowed is a seed for",
        ),
        (
            "a comma in a path",
            [STACK],
            Overrides(("a,b",)),
            r"^--market: 'a,b' \(a string\); allowed is a list of up to 64 different file paths without commas",
        ),
        ("an empty path", [STACK], Overrides(("",)), r"^--market: ''"),
        (
            "no market",
            [without("marketdata")],
            Overrides(seed=1),
            r"no TitanPhase of role marketdata is given to change",
        ),
        (
            "a seed for a replay",
            [(ROOT / "examples" / "replay" / "stack.yaml").read_text()],
            Overrides(seed=1),
            r"^--seed: 1 with a replay",
        ),
    ],
)
def test_flags_that_cannot_be_are_refused(description: str, texts: list[str], flags: Overrides, sentence: str) -> None:
    with pytest.raises(OverrideError, match=sentence):
        apply_overrides(read(*texts), flags)


def test_the_replay_directory_is_enough_and_holds_the_demo_policy_itself() -> None:
    folder = ROOT / "examples" / "replay"
    assert (folder / "policy.yaml").read_text() == DEMO
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    planned = plan(apply_overrides(read(*texts), Overrides(("/usdm.gz", "/spot.gz"), speed="max")))
    assert planned.workload("marketdata").settings["files"] == "/usdm.gz,/spot.gz"
    assert not planned.simulated
