from __future__ import annotations

import pytest

from titan.cli.local.restart import Restarts

# (ran for seconds, was ready, killed from outside)
KILLED = (1.0, True, True)
FAILED = (1.0, True, False)
NEVER_READY = (1.0, False, False)
KILLED_EARLY = (1.0, False, True)
WELL = (10.0, True, False)


@pytest.mark.parametrize(
    ("description", "ends", "delays", "hopeless"),
    [
        ("killed while ready: at once, every time", [KILLED] * 6, [0.1] * 6, False),
        ("never ready: twice as long each time", [NEVER_READY] * 4, [0.2, 0.4, 0.8, 1.6], False),
        ("ready, but failing by itself: the same", [FAILED] * 4, [0.2, 0.4, 0.8, 1.6], False),
        ("killed before it was ready: the same", [KILLED_EARLY] * 2, [0.2, 0.4], False),
        ("never longer than ten seconds", [FAILED] * 9, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10], True),
        ("ran for a while: it begins again", [FAILED, FAILED, WELL, FAILED], [0.2, 0.4, 0.1, 0.2], False),
        ("five in a row are hopeless", [FAILED] * 5, [0.2, 0.4, 0.8, 1.6, 3.2], True),
        ("a kill between is no failure", [FAILED] * 4 + [KILLED] + [FAILED], [0.2, 0.4, 0.8, 1.6, 0.1, 0.2], False),
    ],
)
def test_delay(description: str, ends: list[tuple[float, bool, bool]], delays: list[float], hopeless: bool) -> None:
    restarts = Restarts()
    assert [restarts.ended(float(now_s), *end) for now_s, end in enumerate(ends)] == pytest.approx(delays)
    assert restarts.total == len(ends)
    assert restarts.hopeless is hopeless


@pytest.mark.parametrize(
    ("description", "ends_s", "now_s", "looping"),
    [
        ("four within a minute", [0, 1, 2, 3], 3, False),
        ("five within a minute", [0, 1, 2, 3, 4], 4, True),
        ("five, but over two minutes", [0, 30, 60, 90, 120], 120, False),
        ("a minute later it is over", [0, 1, 2, 3, 4], 65, False),
    ],
)
def test_crash_loop(description: str, ends_s: list[float], now_s: float, looping: bool) -> None:
    restarts = Restarts()
    for end_s in ends_s:
        restarts.ended(end_s, *KILLED)
    assert restarts.crash_loop(now_s) is looping
