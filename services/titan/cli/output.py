"""Output of every command: a table of at most 100 columns, JSON or YAML.

JSON and YAML carry the protobuf messages with their own field names. Tables carry a selection for people. rich and yaml
are imported only when something is printed, so that help stays fast.
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
# An intent id is a UUIDv7: its first 13 characters are a time in milliseconds.
SHORT_ID = 13


class Output(StrEnum):
    """Format of a listing."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Column:
    """A column of a table; ``right`` aligns numbers, ``wrap`` columns share the remaining width."""

    title: str
    right: bool = False
    wrap: bool = False


def document(message: Message) -> dict[str, Any]:
    """Convert a message to plain values: every field is present, with its proto name."""
    from google.protobuf.json_format import MessageToDict

    fields: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def print_document(value: object, output: Literal[Output.JSON, Output.YAML]) -> None:
    """Write plain values to standard output as one JSON or YAML document."""
    if output is Output.JSON:
        text = _escape_in_json(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=WIDTH).rstrip("\n")
    print_text(text)


def printable(text: str, *, lines: bool = True) -> str:
    """Escape what a terminal would carry out instead of show: reasons and messages are other people's text.

    Line ends and tabs stay, except where ``lines`` is False: in a cell.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(sign if sign.isprintable() or sign in kept else ascii(sign)[1:-1] for sign in text)


def _escape_in_json(text: str) -> str:
    """Escape as JSON does, in a document whose strings alone have such characters: it stays the same document."""
    signs = (sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)
    return text if text.replace("\n", "").isprintable() else "".join(signs)


def print_text(text: str) -> None:
    """Write one or more lines to standard output."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def print_wrapped(text: str, indent: str = "  ") -> None:
    """Write a sentence within the width of a table; further lines begin with ``indent``."""
    print_text(textwrap.fill(text, width(), subsequent_indent=indent, break_on_hyphens=False))


def print_error(text: str) -> None:
    """Write one or more lines that are no result to standard error."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def make_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table in the style of every listing; long cells are folded, never cut."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=not column.wrap)
    for row in rows:
        table.add_row(*(printable(cell, lines=False) for cell in row))
    return table


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table, or the sentence ``empty`` when it has no rows."""
    if not rows:
        print_text(empty)
        return
    from rich.console import Console

    console = Console(width=width(), highlight=False, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(make_table(columns, rows))
    print_text("\n".join(line.rstrip() for line in captured.get().splitlines()))


def width(stream: TextIO | None = None) -> int:
    """Number of columns: those of the terminal at ``stream`` (else standard output), at most 100; 100 without one."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if (stream or sys.stdout).isatty() else WIDTH


def number(text: str, places: int = 8) -> str:
    """Format a decimal of the wire, rounded to ``places``; a dash where it is empty."""
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
    """Format a fraction of the wire as a percentage."""
    return f"{number(str(Decimal(text) * 100), 2)} %" if text else UNKNOWN


def usdt(text: str, places: int) -> str:
    """Format an amount of the wire with its unit; a dash where it is empty."""
    return f"{number(text, places)} USDT" if text else UNKNOWN


def truth_score(score: object) -> str:
    """Format a truth score with its scale."""
    return f"truth score {score} of 100"


def counted(count: int | str, noun: str) -> str:
    """Format a count with its noun: ``1 fill``, ``2 fills``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clock(time_ns: int) -> str:
    """Format market time as month-day and time of day, UTC, to the millisecond."""
    if time_ns == 0:
        return UNKNOWN
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d}"


def time_of_day(time_ns: int) -> str:
    """Format market time as time of day, UTC, to the second."""
    return clock(time_ns)[6:14] if time_ns else UNKNOWN


def age(then_ns: int, now_ns: int) -> str:
    """Format the time that has passed between two market times, in seconds; unknown where one of them is."""
    return f"{max(0, now_ns - then_ns) / 1e9:.1f} s old" if then_ns and now_ns else "of unknown age"


def short_id(identifier: str) -> str:
    """Shorten an intent id to a beginning that is mostly unique; ``explain`` accepts it."""
    return identifier[:SHORT_ID]


def word(enum: Any, value: int, prefix: str) -> str:
    """Name an enum's value without its type: ``SIDE_BUY`` is ``BUY``."""
    name = str(enum.Name(value)) if value in enum.values() else str(value)
    return name.removeprefix(prefix)
