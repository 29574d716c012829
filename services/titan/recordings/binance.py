"""Lines of a Binance raw websocket recording, ``receive_ns json``, as typed messages.

One file holds one symbol of one product. The product is read off the content: USD-M futures messages carry ``pu`` in
``depthUpdate``, an event name in ``bookTicker`` and ``X`` in ``trade``; spot messages do not. The snapshot is the REST
answer to the recorder's request, a line without a stream name.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from titan.domain.market import Level
from titan.domain.numbers import ZERO
from titan.domain.order_book import BookDiff
from titan.domain.symbols import is_perp, normalize_symbol
from titan.recordings import fields
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
    U: int = fields.ABSENT
    u: int = fields.ABSENT
    pu: int | None = None
    b: Decimal | _Levels = []
    a: Decimal | _Levels = []
    B: Decimal | None = None
    A: Decimal | None = None
    p: Decimal | None = None
    q: Decimal | None = None
    t: int = fields.ABSENT
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


def _levels(pairs: Decimal | _Levels, name: str) -> tuple[Level, ...]:
    if isinstance(pairs, Decimal):
        raise ValueError(f"{name}: '{pairs}' is not allowed; allowed is a list of levels [price, quantity]")  # noqa: TRY004
    exact, end = fields.EXACT.add, fields.NUMBER_END
    try:
        # Their sum is exact and below the bound only where both are; comparing raises for NaN.
        for price, quantity in pairs:
            if not (price > ZERO and quantity >= ZERO and exact(price, quantity) < end):
                raise _unfit(pairs, name)
    except ArithmeticError as error:
        raise _unfit(pairs, name) from error
    return tuple([Level(price, quantity) for price, quantity in pairs])


def _unfit(pairs: _Levels, name: str) -> ValueError:
    """Name the first number of the levels that is not allowed."""
    try:
        for index, (price, quantity) in enumerate(pairs):
            fields.number(price, f"price of {name}[{index}]", positive=True)
            fields.number(quantity, f"quantity of {name}[{index}]")
    except ValueError as error:
        return error
    return ValueError(f"{name}: a price and its quantity have together more than 19 digits; allowed are at most 19")


def _level(price: Decimal | _Levels, quantity: Decimal | None, names: str) -> Level:
    """Read one side of a ticker, 0 where it is empty; ``names`` are those of its two fields."""
    if not isinstance(price, Decimal) or quantity is None:
        raise ValueError(f"{names[0]}, {names[1]}: not two decimals; allowed are a price and a quantity")
    return Level(fields.number(price, names[0]), fields.number(quantity, names[1]))


def _message(line: _Line) -> Message | None:
    data = line.data
    if data is None:
        if not line.last_update_id:
            return None
        last_id = fields.identifier(line.last_update_id, "lastUpdateId")
        time_ns = fields.event_ns(line.T, "T")
        return Snapshot(last_id, time_ns, _levels(line.bids, "bids"), _levels(line.asks, "asks"))
    if data.e == "depthUpdate":
        time_ns = fields.event_ns(data.T, "T") or fields.event_ns(data.E, "E")
        first_id, last_id = fields.identifier(data.U, "U"), fields.identifier(data.u, "u")
        previous_id = None if data.pu is None else fields.identifier(data.pu, "pu")
        return BookDiff(first_id, last_id, previous_id, time_ns, _levels(data.b, "b"), _levels(data.a, "a"))
    if data.e == "trade":
        if data.p is None or data.q is None:
            raise ValueError(f"p, q: {data.p}, {data.q} are not allowed; a trade has a price and a quantity")
        price, quantity = fields.number(data.p, "p"), fields.number(data.q, "q")
        return Print(fields.identifier(data.t, "t"), fields.event_ns(data.T, "T"), price, quantity, data.m)
    if data.e in ("bookTicker", "") and data.B is not None:
        last_id, time_ns = fields.identifier(data.u, "u"), fields.event_ns(data.T, "T")
        return Ticker(last_id, time_ns, _level(data.b, data.B, "bB"), _level(data.a, data.A, "aA"))
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
            return normalize_symbol(data.s, perp=perp)
        except ValueError as error:
            raise SourceError(f"{self.path}: {error}") from error

    def messages(self) -> Iterator[tuple[int, Message]]:
        """Yield receive time in nanoseconds and message, line by line.

        Raises
        ------
        SourceError
            At the line that cannot be read: truncated gzip, no JSON, a number or time out of range, a falling time,
            another symbol or product.
        """
        name = ""
        before = 0
        perp = is_perp(self.symbol)
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
                if data.e == "depthUpdate" and (data.pu is not None) is not perp:
                    raise self._error(
                        number, f"pu: {data.pu} in a recording of {self.symbol}; only USD-M futures have it"
                    )
            try:
                message = _message(line)
            except ValueError as error:
                raise self._error(number, str(error)) from error
            if message is not None:
                yield receive_ns, message

    def _lines(self) -> Iterator[tuple[int, int, _Line]]:
        number = 0
        try:
            with gzip.open(self.path, "rb") as file:
                for number, raw in enumerate(file, start=1):
                    head, _, body = raw.partition(b" ")
                    try:
                        receive_ns, line = fields.receive_ns(head), _decode(body)
                    except msgspec.DecodeError as error:
                        raise self._error(number, f"not 'receive_ns json': {error}") from error
                    except ValueError as error:
                        raise self._error(number, str(error)) from error
                    yield receive_ns, number, line
        except EOFError as error:
            raise self._error(number, "the file is truncated here") from error
        except (OSError, zlib.error) as error:
            where = f"{self.path}: after line {number}" if number else str(self.path)
            raise SourceError(f"{where}: cannot be read: {error}") from error
        if not number:
            raise SourceError(f"{self.path}: holds no line")

    def _error(self, number: int, problem: str) -> SourceError:
        return SourceError(f"{self.path}: line {number}: {problem}")
