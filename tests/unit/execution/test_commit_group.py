"""Group commit: an order on an idle line is committed at once and alone; those that had to wait share one commit."""

from __future__ import annotations

import asyncio

import pytest

from titan.execution.commit_group import LARGEST, TURNS, WAITED_NS, CommitGroup, Request
from titan.v1.execution_pb2 import PlaceOrder

# Receipts on the monotonic clock that are surely before and surely long after any commit of this test: a slow machine
# must not change what is tested.
WAITED_LONG = 0
LATER_NS = 1 << 62


class Line:
    """What was committed, group by group."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.group = CommitGroup(lambda requests: self.groups.append([order.intent_id for order, _ in requests]))

    def add(self, name: str, received_ns: int) -> None:
        self.group.add(PlaceOrder(intent_id=name), received_ns)


async def turns(count: int = TURNS + 2) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_orders_on_an_idle_line_are_committed_in_the_same_call() -> None:
    line = Line()
    for number in range(3):
        line.add(f"i{number}", LATER_NS + number * WAITED_NS * 1_000_000)
        assert line.groups[-1] == [f"i{number}"]
    assert len(line.groups) == 3


async def test_orders_that_waited_while_the_disk_worked_share_one_commit() -> None:
    line = Line()
    line.add("first", LATER_NS)
    for number in range(5):
        line.add(f"i{number}", WAITED_LONG)
        # The next one comes up some turns of the loop later, before the group closes.
        await turns(3)
    await turns()
    assert line.groups == [["first"], ["i0", "i1", "i2", "i3", "i4"]]


async def test_a_group_does_not_grow_for_ever() -> None:
    line = Line()
    line.add("first", LATER_NS)
    for number in range(LARGEST + 1):
        line.add(f"i{number}", WAITED_LONG)
    assert [len(group) for group in line.groups] == [1, LARGEST]
    await turns()
    assert [len(group) for group in line.groups] == [1, LARGEST, 1]


async def test_what_was_not_committed_when_the_stream_ends_was_never_taken() -> None:
    line = Line()
    line.add("first", LATER_NS)
    line.add("waiting", WAITED_LONG)
    line.group.drop()
    await turns()
    assert line.groups == [["first"]]


async def test_a_commit_that_fails_outside_of_add_is_kept_for_the_reader_of_the_stream() -> None:
    def refuse(requests: object) -> None:
        if len(list(requests)) > 1:  # type: ignore[call-overload]
            raise OSError("disk")

    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        group = CommitGroup(refuse)
        group.add(PlaceOrder(intent_id="first"), LATER_NS)
        waiting: list[Request] = [(PlaceOrder(intent_id=f"i{number}"), WAITED_LONG) for number in range(2)]
        for order, received_ns in waiting:
            group.add(order, received_ns)
        await turns()
        with pytest.raises(OSError, match="disk"):
            raise group.failure or AssertionError("no failure was kept")
    finally:
        loop.set_exception_handler(before)
