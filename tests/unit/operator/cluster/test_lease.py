"""The Lease by scripted clocks. The store keeps versions as the API server does; the cluster tier has the real one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from titan.runtime.telemetry.logs import get_logger
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.lease import Holder, OperatorLease
from titan_operator.cluster.resource_kinds import LEASE, POD, Kind

_DURATION_S = 15.0
# What a holder leaves before another may start.
_MINE_S = 12.0


class Store:
    """One Lease and some pods; ``lose`` makes the next write take effect, or not, without an answer."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.pods: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.lose = ""
        self.down = False

    async def get(self, kind: Kind, name: str, _namespace: str = "") -> dict[str, Any] | None:
        if self.down:
            raise Unreachable("down")
        if kind is POD:
            return self.pods.get(name)
        assert kind is LEASE
        return copy.deepcopy(self.lease)

    async def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.lease is not None and not self.down:
            raise ApiError(409, "AlreadyExists", "there is one")
        return self._store(manifest)

    async def replace(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.lease is None:
            raise ApiError(404, "NotFound", "none", {"name": "l"})
        if manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "changed")
        return self._store(manifest)

    def _store(self, manifest: dict[str, Any]) -> dict[str, Any]:
        lose, self.lose = self.lose, ""
        if self.down or lose == "before":
            raise Unreachable("down")
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if lose == "after":
            raise Unreachable("lost")
        return copy.deepcopy(self.lease)


class Clock:
    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def contender(store: Store, name: str, clock: Clock, changes: list[tuple[str, bool]] | None = None) -> OperatorLease:
    uid = f"uid-{name}"
    store.pods[name] = {"metadata": {"uid": uid}, "status": {"phase": "Running"}}
    told = changes if changes is not None else []
    return OperatorLease(
        store,  # type: ignore[arg-type]
        namespace="titan-system",
        name="l",
        holder=Holder(name, uid),
        duration_s=_DURATION_S,
        log=get_logger("test"),
        changed=lambda held: told.append((name, held)),
        clock_s=clock,
    )


async def test_the_first_acquires_and_the_second_waits() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    assert await one.step()
    assert not await two.step()
    assert (one.is_held(), two.is_held()) == (True, False)
    assert store.lease is not None
    assert store.lease["spec"]["holderIdentity"] == "one_uid-one"


async def test_it_is_lost_by_the_clock_alone() -> None:
    store, clock = Store(), Clock()
    one = contender(store, "one", clock)
    assert await one.step()
    clock.now_s += _MINE_S - 0.1
    assert one.is_held()
    clock.now_s += 0.2
    assert not one.is_held()


async def test_the_time_counts_from_when_the_renewal_began() -> None:
    store, clock = Store(), Clock()
    one = contender(store, "one", clock)
    assert await one.step()
    began_s = clock.now_s
    replace = store.replace

    async def slow(kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        clock.now_s += 4
        return await replace(kind, manifest)

    store.replace = slow  # type: ignore[method-assign]
    assert await one.step()
    clock.now_s = began_s + _MINE_S - 0.1
    assert one.is_held()
    clock.now_s = began_s + _MINE_S + 0.1
    assert not one.is_held()


async def test_a_silent_holder_is_replaced_by_the_contenders_own_clock() -> None:
    store, clock, other = Store(), Clock(), Clock(5.0)
    one, two = contender(store, "one", clock), contender(store, "two", other)
    assert await one.step()
    # However old the Lease says it is: what counts is how long we have seen it unchanged.
    assert store.lease is not None
    store.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    assert not await two.step()
    other.now_s += _DURATION_S - 0.1
    assert not await two.step()
    other.now_s += 0.2
    assert await two.step()
    assert store.lease["spec"]["leaseTransitions"] == 1


async def test_a_renewal_starts_the_count_anew() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    for _ in range(5):
        assert await one.step()
        assert not await two.step()
        clock.now_s += _DURATION_S - 4
    assert not await two.step()


async def test_a_longer_duration_that_the_holder_announced_counts() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    assert await one.step()
    assert store.lease is not None
    store.lease["spec"]["leaseDurationSeconds"] = 60
    assert not await two.step()
    clock.now_s += 59
    assert not await two.step()
    clock.now_s += 2
    assert await two.step()


GONE = [
    ("its pod is not there", None, True),
    ("another pod of the same name", {"metadata": {"uid": "later"}, "status": {"phase": "Running"}}, True),
    ("its pod has failed", {"metadata": {"uid": "uid-one"}, "status": {"phase": "Failed"}}, True),
    ("its pod has succeeded", {"metadata": {"uid": "uid-one"}, "status": {"phase": "Succeeded"}}, True),
    ("its pod runs", {"metadata": {"uid": "uid-one"}, "status": {"phase": "Running"}}, False),
    (
        "its pod is being deleted: its processes may still run",
        {"metadata": {"uid": "uid-one", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}},
        False,
    ),
]


@pytest.mark.parametrize(("description", "pod", "taken"), GONE, ids=[row[0] for row in GONE])
async def test_taken_over_at_once_when_the_pod_is_gone(
    description: str, pod: dict[str, Any] | None, taken: bool
) -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    assert await one.step()
    del store.pods["one"]
    if pod is not None:
        store.pods["one"] = pod
    assert await two.step() == taken, description


async def test_a_holder_in_no_pod_is_waited_for() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    one._holder = Holder("laptop", "")
    assert await one.step()
    assert not await two.step()
    clock.now_s += _DURATION_S
    assert await two.step()


async def test_the_same_pod_started_again_goes_on_at_once() -> None:
    store, clock = Store(), Clock()
    assert await contender(store, "one", clock).step()
    assert await contender(store, "one", clock).step()
    assert store.lease is not None
    assert store.lease["spec"]["leaseTransitions"] == 0


async def test_released_is_free_at_once() -> None:
    store, clock = Store(), Clock()
    changes: list[tuple[str, bool]] = []
    one, two = contender(store, "one", clock, changes), contender(store, "two", clock, changes)
    assert await one.step()
    await one.release()
    assert not one.is_held()
    assert await two.step()
    await one.release()  # not ours: nothing happens
    assert two.is_held()
    assert await two.step()
    assert changes == [("one", True), ("one", False), ("two", True)]


async def test_a_late_release_does_not_take_it_from_the_next_one() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    assert await one.step()
    del store.pods["one"]
    assert await two.step()
    await one.release()
    assert await two.step()


@pytest.mark.parametrize("lose", ["before", "after"])
async def test_a_lost_write_is_found_out_by_looking(lose: str) -> None:
    store, clock = Store(), Clock()
    one = contender(store, "one", clock)
    assert await one.step()
    clock.now_s += 5
    store.lose = lose
    with pytest.raises(Unreachable):
        await one.step()
    # It does not count as a renewal, whatever became of it.
    clock.now_s += 7.5
    assert not one.is_held()
    for _ in range(2):
        renewed = await one.step()
    assert renewed
    assert one.is_held()


async def test_a_deleted_lease_is_not_taken_from_under_its_holder() -> None:
    store, clock = Store(), Clock()
    one, two = contender(store, "one", clock), contender(store, "two", clock)
    assert await one.step()
    assert not await two.step()
    store.lease = None
    assert not await two.step()
    assert one.is_held()
    clock.now_s += _DURATION_S
    assert await two.step()
    assert not one.is_held()


async def test_a_deleted_lease_is_made_anew_by_its_holder_at_once() -> None:
    store, clock = Store(), Clock()
    one = contender(store, "one", clock)
    assert await one.step()
    store.lease = None
    assert not await one.step()
    assert await one.step()


async def test_the_one_that_lost_it_says_so_when_it_sees_the_other() -> None:
    store, clock = Store(), Clock()
    changes: list[tuple[str, bool]] = []
    one, two = contender(store, "one", clock, changes), contender(store, "two", clock, changes)
    assert await one.step()
    del store.pods["one"]
    assert await two.step()
    assert not await one.step()
    assert not await one.step()
    assert not one.is_held()
    assert changes == [("one", True), ("two", True), ("one", False)]


async def test_a_refusal_is_raised() -> None:
    store, clock = Store(), Clock()

    async def forbidden(kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(403, "Forbidden", "no")

    store.create = forbidden  # type: ignore[method-assign]
    with pytest.raises(ApiError, match="403"):
        await contender(store, "one", clock).step()


class TwoContenders(RuleBasedStateMachine):
    """Any order of steps, lost writes, silences and clocks: never do both think that it is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.deleted = False
        # Each has an origin of its own; both go at the same speed.
        self.clocks = [Clock(1000.0), Clock(7.0)]
        self.leases = [contender(self.store, f"p{index}", clock) for index, clock in enumerate(self.clocks)]

    @staticmethod
    def _now(coroutine: Any) -> None:
        """Run what never waits."""
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except (Unreachable, ApiError):
            return
        raise AssertionError("it waited")

    @rule(which=st.integers(0, 1))
    def step(self, which: int) -> None:
        self._now(self.leases[which].step())

    @rule(which=st.integers(0, 1), lose=st.sampled_from(["before", "after"]))
    def step_that_is_lost(self, which: int, lose: str) -> None:
        self.store.lose = lose
        self._now(self.leases[which].step())
        self.store.lose = ""

    @rule(seconds=st.floats(0.1, 20.0))
    def time_passes(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.now_s += seconds

    @rule(down=st.booleans())
    def the_server_goes_or_comes(self, down: bool) -> None:
        self.store.down = down

    @rule()
    def somebody_deletes_the_lease(self) -> None:
        # Only where both have seen it, and once: a contender that starts into a deleted Lease cannot know of a holder,
        # nor one that slept between two deletions of the one in between.
        if not self.deleted and all(lease._known for lease in self.leases):
            self.deleted = True
            self.store.lease = None

    @rule(which=st.integers(0, 1))
    def released(self, which: int) -> None:
        self._now(self.leases[which].release())

    @invariant()
    def one_at_most(self) -> None:
        assert sum(lease.is_held() for lease in self.leases) <= 1


TestTwoContenders = TwoContenders.TestCase
TestTwoContenders.settings = settings(stateful_step_count=30)
