"""The venue's file: its content after the death of the process, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from support.durable.full_disk import full_disk
from support.tiers.sweeps import swept
from support.venues.matching import PERP, Bench, D, send, state_of
from titan.domain.venue import VenueReject
from titan.matching.state import VenueDelta, VenueState
from titan.papervenue import store as store_module
from titan.papervenue.store import FILE_NAME, StoreError, VenueStore


def opened(folder: Path, balance: str = "10000") -> VenueStore:
    return VenueStore(folder, state_of(balance))


def deltas() -> Iterator[VenueDelta]:
    """Changes of an engine: admissions, fills, a queue, a position, taken levels."""
    bench = Bench()
    bench.book("60000x1", "60001x1")
    for request in (
        send("a", "buy", "0.5"),
        send("b", "buy", "1", limit="60000"),
        send("c", "sell", "0.5", stop="59000", reduce_only=True),
        send("d", "buy", "1", "ETH/USDT", at_ms=10_000),
    ):
        admitted = bench.engine.admit(request)
        assert not isinstance(admitted, VenueReject)
        yield bench.engine.admission(admitted)
        bench.engine.enqueue(admitted)
    for act in (bench.wait, lambda: bench.trade("sell", "1.3", "60000"), lambda: bench.book("58000x9", "58001x9")):
        act()
        delta = bench.engine.collect()
        assert delta is not None
        yield delta


def written(folder: Path) -> list[VenueState]:
    """Write all deltas; the state after each, the first before any."""
    store = opened(folder)
    states = [msgspec.convert(msgspec.to_builtins(store.state), VenueState, strict=False)]
    for delta in deltas():
        store.append(delta)
        store.state.apply(delta)
        states.append(msgspec.json.decode(msgspec.json.encode(store.state), type=VenueState))
    store.close()
    return states


def test_a_state_begins_with_the_balance_once(tmp_path: Path) -> None:
    first = opened(tmp_path, "200")
    assert (first.state.deposits, first.state.balances) == (D(200), {"USDT": D(200)})
    first.close()
    again = opened(tmp_path, "500")
    assert (again.state.deposits, again.state.balances) == (D(200), {"USDT": D(200)})
    again.close()


def test_all_that_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    states = written(tmp_path)
    again = opened(tmp_path)
    assert again.state == states[-1]
    state = again.state
    assert sorted(state.orders) == ["a", "b", "c"]
    assert [pending.request.client_order_id for pending in state.pending.values()] == ["d"]
    assert len(state.trades) == 4
    assert PERP in state.positions
    again.close()


def test_a_last_record_cut_at_any_byte_never_was(tmp_path: Path) -> None:
    states = written(tmp_path)
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    previous = opened(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert previous is not None
    for delta in list(deltas())[:-1]:
        previous.append(delta)
    start = previous.size_bytes
    previous.close()
    assert len(data) - start > 100
    for length in swept(range(start, len(data)), 7):
        path.write_bytes(data[:length])
        store = opened(tmp_path)
        assert store.state == states[-2], length
        assert path.stat().st_size == start, "the rest is cut off"
        store.close()
    path.write_bytes(data)
    store = opened(tmp_path)
    assert store.state == states[-1]
    store.close()


def test_writing_goes_on_after_a_cut(tmp_path: Path) -> None:
    states = written(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-1])
    store = opened(tmp_path)
    store.append(list(deltas())[-1])
    store.close()
    again = opened(tmp_path)
    assert again.state == states[-1]
    again.close()


@pytest.mark.parametrize("offset", [9, 30, 400], ids=["a length", "a payload", "a later record"])
def test_a_changed_byte_stops_the_start(tmp_path: Path, offset: int) -> None:
    written(tmp_path)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged at offset"):
        opened(tmp_path)
    assert path.read_bytes() == bytes(data), "nothing is repaired by guessing"


def test_a_foreign_file_and_one_without_a_state_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"something else")
    with pytest.raises(StoreError, match="is no file of a paper venue"):
        opened(tmp_path)
    path.write_bytes(b"TITANPV1")
    with pytest.raises(StoreError, match="holds no state"):
        opened(tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(StoreError, match="is in use by another paper venue"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"state_dir: '.*missing' cannot be written: No such file or directory"):
        opened(tmp_path / "missing")


@pytest.mark.parametrize("spare", [0, 20], ids=["nothing fits", "a part fits"])
def test_a_record_that_does_not_fit_leaves_the_file_whole(tmp_path: Path, spare: int) -> None:
    store = opened(tmp_path)
    one, two = list(deltas())[:2]
    store.append(one)
    size = store.path.stat().st_size
    with full_disk(store.path, spare), pytest.raises(OSError, match="File too large"):
        store.append(two)
    assert store.path.stat().st_size == size
    assert "cannot be written: File too large" in store.problem
    store.append(two)
    assert store.problem == ""
    store.close()
    again = opened(tmp_path)
    assert len(again.state.pending) == 2
    again.close()


def test_a_long_file_is_replaced_by_the_present_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_COMPACT_BYTES", 1000)
    monkeypatch.setattr(store_module, "_COMPACT_FACTOR", 1)
    monkeypatch.setattr(store_module, "_KEEP_HISTORY", 2)
    store = opened(tmp_path)
    assert not store.compact_if_long(store.state)
    for delta in deltas():
        store.append(delta)
        store.state.apply(delta)
    before = store.size_bytes
    with full_disk(store.path, -before), pytest.raises(OSError, match="File too large"):
        store.compact_if_long(store.state)
    assert store.size_bytes == before, "the old file stays in use"
    assert store.compact_if_long(store.state)
    assert store.size_bytes < before
    assert [trade.sequence for trade in store.state.trades] == [3, 4]
    more = VenueDelta(last_sequence=99, market_time_ns=1)
    store.append(more)
    store.state.apply(more)
    store.close()
    again = opened(tmp_path)
    assert again.state == store.state
    assert again.state.last_trade_sequence == 4
    again.close()
