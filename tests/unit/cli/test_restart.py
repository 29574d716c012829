from __future__ import annotations

import pytest

from titan.cli.restart import Restarts


@pytest.mark.parametrize(
    ("description", "ends", "delays"),
    [
        ("killed while ready: at once, every time", [(t, True) for t in range(6)], [0.1] * 6),
        ("never ready: twice as long each time", [(t, False) for t in range(4)], [0.2, 0.4, 0.8, 1.6]),
        ("never longer than ten seconds", [(t, False) for t in range(9)], [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]),
        ("ready once: it begins again", [(0, False), (1, False), (2, True), (3, False)], [0.2, 0.4, 0.1, 0.2]),
    ],
)
def test_delay(description: str, ends: list[tuple[float, bool]], delays: list[float]) -> None:
    restarts = Restarts()
    assert [restarts.ended(now_s, was_ready) for now_s, was_ready in ends] == pytest.approx(delays)
    assert restarts.total == len(ends)


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
        restarts.ended(end_s, was_ready=True)
    assert restarts.crash_loop(now_s) is looping
