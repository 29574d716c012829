"""One way to print: a table of at most 100 columns, JSON or YAML.

JSON and YAML carry the protobuf messages with their own field names; tables carry what a person looks for. rich and
yaml are imported when something is printed.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.table import Table

WIDTH = 100
UNKNOWN = "–"
# An id is a UUIDv7: its first 13 characters are a time in milliseconds.
SHORT_ID = 13


class Output(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Column:
    """A column of a table; ``right`` for numbers, ``wrap`` for sentences, which share the width that is left."""

    title: str
    right: bool = False
    wrap: bool = False


def document(message: Message) -> dict[str, Any]:
    """A message as plain values, every field present, named as in the protos."""
    from google.protobuf.json_format import MessageToDict

    fields: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def print_document(value: object, output: Literal[Output.JSON, Output.YAML]) -> None:
    """Write plain values to standard output as one JSON or YAML document."""
    if output is Output.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    else:
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=WIDTH).rstrip("\n")
    say(text)


def say(text: str) -> None:
    """Write one or more lines to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_wrapped(text: str, indent: str = "  ") -> None:
    """Write a sentence within the width of a table; further lines begin with ``indent``."""
    say(textwrap.fill(text, width(), subsequent_indent=indent, break_on_hyphens=False))


def tell(text: str) -> None:
    """Write one or more lines to standard error: what is no result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def make_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table in the one style of every listing; long cells are folded, never cut."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=not column.wrap)
    for row in rows:
        table.add_row(*row)
    return table


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table, or the sentence ``empty`` when it has no rows."""
    if not rows:
        say(empty)
        return
    from rich.console import Console

    console = Console(width=width(), highlight=False, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(make_table(columns, rows))
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def width(stream: TextIO | None = None) -> int:
    """Columns to print on (standard output unless told): the terminal's, at most 100; 100 where there is none."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if (stream or sys.stdout).isatty() else WIDTH


def number(text: str, places: int = 8) -> str:
    """A decimal of the wire for a table, rounded to ``places``; a dash where there is none."""
    if not text:
        return UNKNOWN
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite() or -int(value.as_tuple().exponent) <= places:
        return text
    return format(round(value, places), "f")


def percent(text: str) -> str:
    """A fraction of the wire as a percentage."""
    return f"{number(str(Decimal(text) * 100), 2)} %" if text else UNKNOWN


def clock(time_ns: int) -> str:
    """Market time as month-day and time of day, UTC, to the millisecond."""
    if time_ns == 0:
        return UNKNOWN
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d}"


def time_of_day(time_ns: int) -> str:
    """Market time as time of day, UTC, to the second."""
    return clock(time_ns)[6:14] if time_ns else UNKNOWN


def short_id(identifier: str) -> str:
    """The beginning of an intent's id that mostly tells it from others; ``explain`` takes it."""
    return identifier[:SHORT_ID]


def word(enum: Any, value: int, prefix: str) -> str:
    """The name of an enum's value without its type, for tables: ``SIDE_BUY`` is ``BUY``."""
    name = str(enum.Name(value)) if value in enum.values() else str(value)
    return name.removeprefix(prefix)
