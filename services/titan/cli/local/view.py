"""The display of ``titan up``: a live table on a terminal, plain lines elsewhere, both on standard error."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from titan.cli.local.processes import ProcessState, Supervised
from titan.cli.local.status import PROCESS_COLUMNS, StackSnapshot, summary
from titan.cli.output import make_table, print_error, printable, width

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

# Shortest interval between two groups of plain lines.
_PLAIN_EVERY_S = 2.0
_MESSAGES_SHOWN = 4
_ENDED = (ProcessState.RESTARTING, ProcessState.CRASH_LOOP, ProcessState.FAILED)


class View(Protocol):
    """Receiver of the supervisor's events."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def report(self, message: str) -> None:
        """Show an event."""
        ...

    def process(self, process: Supervised) -> None:
        """Show the change of a process."""
        ...

    def snapshot(self, snapshot: StackSnapshot) -> None:
        """Show the state of the stack, once a second."""
        ...


class PlainView:
    """Plain lines: one for each change."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self._last_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def report(self, message: str) -> None:
        """Print the event with the machine's time."""
        print_error(f"{datetime.now(UTC):%H:%M:%S}  {message}")

    def process(self, process: Supervised) -> None:
        """Print the new state, except for the steps of a start or stop."""
        if process.state not in (ProcessState.STARTING, ProcessState.STOPPED):
            self.report(_event(process))

    def snapshot(self, snapshot: StackSnapshot) -> None:
        """Print the lines that differ from the last ones."""
        if snapshot.brain is None or time.monotonic() - self._last_s < _PLAIN_EVERY_S:
            return
        lines = summary(snapshot)
        # The market's line changes with every event. It is printed only together with another line.
        if lines[1:] == self._last[1:]:
            return
        for line in [line for line in lines if line not in self._last]:
            self.report(line)
        self._last, self._last_s = lines, time.monotonic()


class LiveView:
    """A live table, redrawn in place."""

    def __init__(self, title: str, processes: dict[str, Supervised]) -> None:
        self._title = title
        self._processes = processes
        self._summary: list[str] = []
        self._messages: list[str] = []
        self._ended: set[str] = set()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False, markup=False, width=width(sys.stderr))
        self._live = Live(self._draw(), console=console, auto_refresh=False, redirect_stdout=False)
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def report(self, message: str) -> None:
        """Show the event below the table, with the latest few."""
        self._messages = [*self._messages, f"{datetime.now(UTC):%H:%M:%S}  {message}"][-_MESSAGES_SHOWN:]
        self._refresh()

    def process(self, process: Supervised) -> None:
        """Redraw; a process that ended or came back also gets a line, which stays when the table has changed."""
        name = process.name
        if process.state in _ENDED:
            self._ended.add(name)
            self.report(_event(process))
        elif process.state is ProcessState.READY and name in self._ended:
            self._ended.remove(name)
            self.report(f"{_event(process)} again")
        else:
            self._refresh()

    def snapshot(self, snapshot: StackSnapshot) -> None:
        """Redraw."""
        self._summary = summary(snapshot)
        self._refresh()

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        rows = [
            (
                process.name,
                process.state.value,
                str(process.pid or ""),
                str(process.restarts.total),
                process.note,
            )
            for process in self._processes.values()
        ]
        table = make_table(PROCESS_COLUMNS, rows)
        lines = (*self._summary, *([""] if self._messages else []), *self._messages)
        texts = [Text(printable(line, lines=False), overflow="fold") for line in lines]
        return Group(Text(self._title, style="bold"), Padding(table, (1, 0)), *texts)


def _event(process: Supervised) -> str:
    return f"{process.name:<10}  {process.state.value}{': ' if process.note else ''}{process.note}"


def choose_view(title: str, processes: dict[str, Supervised]) -> View:
    """Choose the live table where standard error is a terminal, plain lines elsewhere."""
    return LiveView(title, processes) if sys.stderr.isatty() else PlainView()
