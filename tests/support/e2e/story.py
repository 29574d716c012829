"""Output of end-to-end tests: sentences with the time since the beginning, so that the log reads as a story."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Story:
    """Prints sentences."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._began = time.monotonic()
        self._write = write

    def tell(self, line: str) -> None:
        """One sentence, or several lines that are shown as they are."""
        first, *rest = line.rstrip().splitlines() or [""]
        stamp = f"{time.monotonic() - self._began:7.1f} s  "
        self._write(f"{stamp}{first}\n" + "".join(f"{' ' * len(stamp)}{more}\n" for more in rest))

    def chapter(self, title: str) -> None:
        """A heading."""
        self._write(f"\n{title}\n")

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Tell how long something took, once it is done."""
        began = time.monotonic()
        yield
        self.tell(f"{what}: {time.monotonic() - began:.1f} s")
