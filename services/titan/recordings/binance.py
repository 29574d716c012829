"""Lines of a Binance raw websocket recording, ``receive_ns json``, as typed messages.

One file holds one symbol of one product. The product is read off the content: USD-M futures messages carry ``pu`` in
``depthUpdate``, an event name in ``bookTicker`` and ``X`` in ``trade``; spot messages do not. The snapshot is the REST
answer to the recorder's request, a line without a stream name.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from titan.domain.market import Level
from titan.domain.order_book import BookDiff
from titan.domain.symbols import normalise_symbol
from titan.domain.time import NS_PER_MS
from titan.recordings.source import SourceError

# Lines of a recording that are read to identify it before anything is started.
HEAD_LINES = 20_000

_Levels = list[tuple[Decimal, Decimal]]


class _Data(msgspec.Struct, gc=False):
    """The union of the fields of depthUpdate, bookTicker and trade; times in milliseconds."""

    s: str
    e: str = ""
    E: int = 0
    T: int = 0
    U: int = 0
    u: int = 0
    pu: int | None = None
    b: Decimal | _Levels = []
    a: Decimal | _Levels = []
    B: Decimal | None = None
    A: Decimal | None = None
    p: Decimal | None = None
    q: Decimal | None = None
    t: int = 0
    m: bool = False
    X: str = ""


class _Line(msgspec.Struct, gc=False):
    stream: str = ""
    data: _Data | None = None
    last_update_id: int = msgspec.field(default=0, name="lastUpdateId")
    T: int = 0
    bids: _Levels = []
    asks: _Levels = []


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole book after update ``last_id``."""

    last_id: int
    event_time_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask after update ``update_id``."""

    update_id: int
    event_time_ns: int
    bid: Level
    ask: Level


class Print(msgspec.Struct, frozen=True, gc=False):
    """One trade; ``buyer_is_maker`` means that the seller was the aggressor."""

    trade_id: int
    event_time_ns: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool


Message = Snapshot | BookDiff | Ticker | Print

_decode = msgspec.json.Decoder(_Line).decode


def _levels(pairs: Decimal | _Levels) -> tuple[Level, ...]:
    if isinstance(pairs, Decimal):
        pairs = [(pairs, Decimal(-1))]  # a number in place of levels: refused below
    levels = tuple([Level(price, quantity) for price, quantity in pairs])
    for level in levels:
        # Comparing raises for NaN, so a level that is no number does not pass either.
        if level.quantity < 0 or level.price <= 0:
            raise ValueError(f"price {level.price} with quantity {level.quantity} is no level")
    return levels


def _level(price: Decimal | _Levels, quantity: Decimal | None) -> Level:
    if not isinstance(price, Decimal) or quantity is None or price < 0 or quantity < 0:
        raise ValueError(f"price {price} with quantity {quantity} is no level")
    return Level(price, quantity)


def _message(line: _Line) -> Message | None:
    data = line.data
    if data is None:
        if not line.last_update_id:
            return None
        return Snapshot(line.last_update_id, line.T * NS_PER_MS, _levels(line.bids), _levels(line.asks))
    if data.e == "depthUpdate":
        time_ms = data.T or data.E
        return BookDiff(data.U, data.u, data.pu, time_ms * NS_PER_MS, _levels(data.b), _levels(data.a))
    if data.e == "trade":
        if data.p is None or data.q is None or data.p < 0 or data.q < 0:
            raise ValueError(f"price {data.p} with quantity {data.q} is no trade")
        return Print(data.t, data.T * NS_PER_MS, data.p, data.q, data.m)
    if data.e in ("bookTicker", "") and data.B is not None:
        return Ticker(data.u, data.T * NS_PER_MS, _level(data.b, data.B), _level(data.a, data.A))
    return None


class Recording:
    """One recorded file: its symbol, its start, and its messages.

    Raises
    ------
    SourceError
        When the file cannot be opened, is no gzip, or its head has no product and symbol or no snapshot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.symbol = ""
        self.start_ns = 0
        self._names: set[str] = set()
        snapshot = False
        for count, (receive_ns, _, line) in enumerate(self._lines(), start=1):
            self.start_ns = self.start_ns or receive_ns
            snapshot = snapshot or bool(line.last_update_id)
            if line.data is not None and not self.symbol:
                self.symbol = self._symbol(line.data)
            if (snapshot and self.symbol) or count >= HEAD_LINES:
                break
        if not self.symbol:
            raise SourceError(f"{path}: no depthUpdate, bookTicker or trade in its first {HEAD_LINES} lines")
        if not snapshot:
            raise SourceError(f"{path}: no book snapshot (a line with lastUpdateId) in its first {HEAD_LINES} lines")

    def _symbol(self, data: _Data) -> str:
        perp = data.pu is not None if data.e == "depthUpdate" else bool(data.X or data.e == "bookTicker")
        try:
            return normalise_symbol(data.s, perp=perp)
        except ValueError as error:
            raise SourceError(f"{self.path}: {error}") from error

    def messages(self) -> Iterator[tuple[int, Message]]:
        """Yield receive time in nanoseconds and message, line by line.

        Raises
        ------
        SourceError
            At the line that cannot be read: truncated gzip, no JSON, a number that is none, a falling time, another
            symbol.
        """
        name = ""
        before = 0
        for receive_ns, number, line in self._lines():
            if receive_ns < before:
                raise self._error(number, f"received at {receive_ns}, before the line above it ({before})")
            before = receive_ns
            data = line.data
            if data is not None:
                name = name or data.s
                if data.s != name:
                    raise self._error(
                        number, f"symbol {data.s!r} in a recording of {name!r}; one file holds one symbol"
                    )
            try:
                message = _message(line)
            except (ValueError, InvalidOperation) as error:
                raise self._error(number, str(error) or "a number is not a number") from error
            if message is not None:
                yield receive_ns, message

    def _lines(self) -> Iterator[tuple[int, int, _Line]]:
        number = 0
        try:
            with gzip.open(self.path, "rb") as file:
                for number, raw in enumerate(file, start=1):
                    head, _, body = raw.partition(b" ")
                    try:
                        yield int(head), number, _decode(body)
                    except (ValueError, msgspec.DecodeError) as error:
                        raise self._error(number, f"not 'receive_ns json': {error}") from error
        except EOFError as error:
            raise self._error(number, "the file is truncated here") from error
        except (OSError, zlib.error) as error:
            where = f"{self.path}: after line {number}" if number else str(self.path)
            raise SourceError(f"{where}: cannot be read: {error}") from error
        if not number:
            raise SourceError(f"{self.path}: holds no line")

    def _error(self, number: int, problem: str) -> SourceError:
        return SourceError(f"{self.path}: line {number}: {problem}")
