"""The state that a phase keeps over a restart: the numbers that no other process can send it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from titan.durable.files import write_durably
from titan.runtime.process import StartError


class StateFile:
    """One JSON file of integers, written whole when it changes."""

    def __init__(self, state_dir: str) -> None:
        self._path = Path(state_dir) / "phase.json"
        self._written: dict[str, int] | None = None

    def load(self) -> dict[str, int]:
        """Read the stored state; empty where nothing is stored.

        Raises
        ------
        StartError
            One sentence when the file cannot be read or holds something else.
        """
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise StartError(f"state_dir: {str(self._path)!r} cannot be read: {error}") from error
        self._written = state
        return state

    def store(self, state: dict[str, int]) -> None:
        """Write ``state`` if it differs from the stored one.

        Raises
        ------
        OSError
            When it cannot be written; the file then is as before.
        """
        if state != self._written:
            write_durably(self._path, msgspec.json.encode(state))
            self._written = dict(state)
