from __future__ import annotations

from collections.abc import Callable

import pytest

from titan_operator.cluster.resource_kinds import CONFIG_MAP, TITAN_PHASE
from titan_operator.cluster.watches import Overdue, WatchTracker

_LIMIT_S = 10.0
Step = Callable[[WatchTracker], None]


def seen(version: str, name: str = "a") -> Step:
    return lambda tracker: tracker.seen(TITAN_PHASE, "n", name, version)


def deleted(name: str = "a") -> Step:
    return lambda tracker: tracker.deleted(TITAN_PHASE, "n", name)


def listed(now_s: float, **versions: str) -> Step:
    return lambda tracker: tracker.check(TITAN_PHASE, "n", versions, now_s)


def wrote(version: str, now_s: float, name: str = "a") -> Step:
    return lambda tracker: tracker.expect(TITAN_PHASE, "n", name, version, now_s)


def restarted() -> Step:
    return lambda tracker: tracker.restarted()


# What happens, and for how long something is owed at 100 s; 0: nothing.
TABLE: list[tuple[str, list[Step], float]] = [
    ("nothing is known", [], 0),
    ("told, then listed", [seen("1"), listed(50, a="1")], 0),
    ("listed, then told", [listed(50, a="1"), seen("1")], 0),
    ("listed, never told", [listed(50, a="1")], 50),
    ("listed again: the first time counts", [listed(50, a="1"), listed(90, a="1")], 50),
    ("changed, and neither was told", [listed(50, a="1"), listed(90, a="2")], 50),
    (
        "changed, and only the older was told: late since the newer",
        [listed(50, a="1"), listed(90, a="2"), seen("1")],
        10,
    ),
    ("the newer told, the older skipped", [listed(50, a="1"), listed(90, a="2"), seen("2")], 0),
    ("another version told, and nobody can say whether it is newer", [listed(50, a="1"), seen("x")], 50),
    ("... until it is listed", [listed(50, a="1"), seen("x"), listed(90, a="x")], 0),
    ("a list a little older than the watch", [seen("1"), seen("2"), listed(50, a="1")], 0),
    ("another object told", [listed(50, a="1"), seen("1", "b")], 50),
    ("an own write that was told", [wrote("1", 50), seen("1")], 0),
    ("told before its own answer", [seen("1"), wrote("1", 50)], 0),
    ("an own write that was not told", [seen("1"), wrote("2", 50)], 50),
    ("an own write that changed nothing", [seen("1"), wrote("1", 50), wrote("1", 60)], 0),
    ("deleted and told", [seen("1"), deleted(), listed(50)], 0),
    ("deleted, not told", [seen("1"), listed(50), listed(90)], 50),
    ("deleted, told late", [seen("1"), listed(50), listed(90), deleted()], 0),
    ("made after the list was read: one list that lacks it says nothing", [seen("1"), listed(50)], 0),
    ("deleted before it was ever told", [listed(50, a="1"), listed(90)], 0),
    ("deleted and made anew, neither told", [seen("1"), listed(50), listed(60), listed(90, a="2")], 50),
    ("deleted and made anew, the new one told", [seen("1"), listed(50), listed(60), listed(90, a="2"), seen("2")], 0),
    ("a stale list had missed it", [seen("1"), listed(50), listed(90, a="1"), listed(95)], 0),
    ("two stale lists had missed it", [seen("1"), listed(50), listed(60), listed(90, a="1")], 0),
    ("started anew: owes nothing yet", [listed(50, a="1"), restarted()], 0),
    ("started anew, and still not told", [listed(50, a="1"), restarted(), listed(90, a="1")], 10),
    ("versions are opaque: a smaller number is no older one", [seen("9"), listed(50, a="10")], 50),
]


@pytest.mark.parametrize(("description", "steps", "age_s"), TABLE, ids=[row[0] for row in TABLE])
def test_age(description: str, steps: list[Step], age_s: float) -> None:
    tracker = WatchTracker(_LIMIT_S)
    for step in steps:
        step(tracker)
    assert tracker.age_s(TITAN_PHASE, 100.0) == age_s, description
    assert bool(tracker.overdue(100.0)) == (age_s > _LIMIT_S)
    assert tracker.age_s(CONFIG_MAP, 100.0) == 0


def test_the_oldest_debt_is_told_first_and_named() -> None:
    tracker = WatchTracker(_LIMIT_S)
    tracker.check(TITAN_PHASE, "n", {"a": "7"}, 50.0)
    tracker.seen(CONFIG_MAP, "n", "b", "1")
    for now_s in (20.0, 30.0):
        tracker.check(CONFIG_MAP, "n", {}, now_s)
    assert tracker.overdue(100.0) == [
        Overdue(CONFIG_MAP, "n", "b", 80.0, ""),
        Overdue(TITAN_PHASE, "n", "a", 50.0, "7"),
    ]
    assert [str(item) for item in tracker.overdue(100.0)] == [
        "ConfigMap n/b: deletion, known for 80 s, was not delivered by the watch",
        "TitanPhase n/a: version 7, known for 50 s, was not delivered by the watch",
    ]


def test_namespaces_are_kept_apart() -> None:
    tracker = WatchTracker(_LIMIT_S)
    tracker.seen(TITAN_PHASE, "one", "a", "1")
    for namespace, late in (("two", []), ("one", ["one"])):
        for now_s in (0.0, 1.0):
            tracker.check(TITAN_PHASE, namespace, {}, now_s)
        assert [item.namespace for item in tracker.overdue(100.0)] == late


def test_what_is_gone_is_forgotten() -> None:
    tracker = WatchTracker(_LIMIT_S)
    for number in range(1000):
        tracker.seen(TITAN_PHASE, "n", f"p{number}", "1")
        tracker.deleted(TITAN_PHASE, "n", f"p{number}")
        tracker.check(TITAN_PHASE, "n", {}, float(number))
    assert not tracker._objects[TITAN_PHASE, "n"]
