"""An object that cannot be written is left alone for longer each time; others are not."""

from __future__ import annotations

from titan_operator.cluster.backoff import FIRST_S, LAST_S, Backoff


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_waits_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    delays = [backoff.failed("Deployment", "brain", "denied") for _ in range(10)]
    assert delays[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-1] == LAST_S
    backoff.done("Deployment", "brain")
    assert backoff.failed("Deployment", "brain", "denied") == FIRST_S


def test_only_what_failed_waits_and_only_for_its_time() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    backoff.failed("Deployment", "brain", "denied")
    assert backoff.waits("Deployment", "brain") == "denied"
    assert backoff.waits("Service", "brain") == ""
    assert backoff.next_s() == FIRST_S
    clock.now_s += FIRST_S
    assert backoff.waits("Deployment", "brain") == ""
    assert backoff.next_s() == 0.0


def test_what_nothing_wants_any_more_is_forgotten() -> None:
    backoff = Backoff(Clock())
    backoff.failed("Deployment", "brain", "denied")
    backoff.failed("Service", "brain", "denied")
    backoff.forget({("Service", "brain")})
    assert backoff.waits("Deployment", "brain") == ""
    assert backoff.waits("Service", "brain") == "denied"
    assert Backoff(Clock()).next_s() == float("inf")
