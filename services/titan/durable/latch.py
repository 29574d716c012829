"""The posture latch: the last act of a person or an automatic rule, kept over every restart."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from titan.domain.enums import Posture
from titan.domain.posture import FLATTENED
from titan.domain.reasons import Reason
from titan.durable.files import write_durably

VERSION = 1


class LatchRefused(Exception):  # noqa: N818 - it is a refusal, with its reason
    """An act that loosens is not allowed. ``reason`` is the enumerated one, ``message`` the sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason.name}: {message}")
        self.reason = reason
        self.message = message


class LatchUnavailable(Exception):  # noqa: N818 - it is a state of the latch that its users report
    """The latch could not be stored. ``reason`` is one sentence that names the file and the cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    posture: str
    never_set: bool
    by: str
    reason: str
    changed_ns: int
    nonces: tuple[str, ...]


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    content: _Content


def _digest(content: _Content) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


class Latch:
    """A stored posture that anyone may lower at once and only a one-shot act can raise.

    A state folder without a latch is new: CLOSE_ONLY, ``never_set``. A latch that cannot be read or is damaged is
    HALTED, with the cause as ``reason``; the next act replaces it.

    Attributes
    ----------
    posture
        The greatest posture that the latch allows.
    never_set
        True until the first act sets it.
    by, reason
        Author and reason of the last act.
    changed_ns
        Time of the last act on ``clock`` (UTC ns); 0 before the first.
    """

    def __init__(
        self,
        path: Path,
        content: _Content,
        write: Callable[[Path, bytes], None],
        clock: Callable[[], int],
    ) -> None:
        self._path = path
        self._write = write
        self._clock = clock
        self._nonces = content.nonces
        self.posture = Posture[content.posture]
        self.never_set = content.never_set
        self.by = content.by
        self.reason = content.reason
        self.changed_ns = content.changed_ns

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        write: Callable[[Path, bytes], None] = write_durably,
        clock: Callable[[], int] = time.time_ns,
    ) -> Latch:
        """Read the latch; never raises and never writes. ``clock`` gives UTC ns."""
        return cls(path, _read(path), write, clock)

    def used(self, nonce: str) -> bool:
        """Whether an act with this nonce has raised the latch, in this process or an earlier one."""
        return nonce in self._nonces

    def tighten(self, posture: Posture, by: str, reason: str) -> bool:
        """Lower the latch to ``posture``, at once in memory and then on the disk. A latch as low stays as it is.

        The first act on a new latch is stored even when it lowers nothing: the latch is then no longer ``never_set``.

        Returns
        -------
        bool
            Whether anything changed.

        Raises
        ------
        LatchUnavailable
            When it cannot be stored. The latch *is* lowered in this process then; a restart would not know of it.
        """
        lowers = posture < self.posture
        if not lowers and not self.never_set:
            return False
        self._set(posture if lowers else self.posture, by, reason, self._nonces)
        self._store()
        return True

    def raise_to(
        self, posture: Posture, by: str, nonce: str, reason: str = "", *, only_if_never_set: bool = False
    ) -> None:
        """Raise the latch to ``posture``, on the disk first and then in memory. Each nonce works once, for ever.

        Parameters
        ----------
        only_if_never_set
            Refuse when any act has set the latch before (``titan up --arm``).

        Raises
        ------
        LatchRefused
            NONCE_USED for a nonce that was used; PRECONDITION when ``only_if_never_set`` and it was set before.
        ValueError
            For an empty ``by`` or ``nonce``, or a posture below the present one.
        LatchUnavailable
            When it cannot be stored; nothing is raised then.
        """
        if not by or not nonce:
            raise ValueError(f"by: {by!r}, nonce: {nonce!r}; both are needed to raise the posture")
        if posture < self.posture:
            raise ValueError(f"posture: {posture.name} is below {self.posture.name}; lower it by tightening")
        if self.used(nonce):
            raise LatchRefused(Reason.NONCE_USED, f"nonce {nonce!r} has been used; arming is a one-shot act")
        if only_if_never_set and not self.never_set:
            raise LatchRefused(
                Reason.PRECONDITION,
                f"the latch was set to {self.posture.name} by {self.by or 'an act that is not known'}"
                f" ({self.reason or 'no reason given'}); only a person arms it again",
            )
        self._replace(posture, by, reason, (*self._nonces, nonce))

    def finish_flatten(self, outcome: str) -> None:
        """Move the latch from FLATTEN to HALTED, which is no loosening; its author stays, ``outcome`` is added.

        Raises
        ------
        ValueError
            When the latch is not at FLATTEN.
        LatchUnavailable
            When it cannot be stored; it stays at FLATTEN then.
        """
        if self.posture is not Posture.FLATTEN:
            raise ValueError(f"posture: {self.posture.name}; only FLATTEN can be finished")
        self._replace(FLATTENED, self.by, f"{self.reason}; {outcome}" if self.reason else outcome, self._nonces)

    def _replace(self, posture: Posture, by: str, reason: str, nonces: tuple[str, ...]) -> None:
        """Take new content once it is stored; keep the old when it cannot be."""
        before = (self.posture, self.never_set, self.by, self.reason, self.changed_ns, self._nonces)
        self._set(posture, by, reason, nonces)
        try:
            self._store()
        except LatchUnavailable:
            self.posture, self.never_set, self.by, self.reason, self.changed_ns, self._nonces = before
            # The failed step may have been the one after the rename: a restart must not find the posture raised.
            with contextlib.suppress(LatchUnavailable):
                self._store()
            raise

    def _set(self, posture: Posture, by: str, reason: str, nonces: tuple[str, ...]) -> None:
        self.posture = posture
        self.never_set = False
        self.by = by
        self.reason = reason
        self.changed_ns = self._clock()
        self._nonces = nonces

    def _store(self) -> None:
        content = _Content(
            version=VERSION,
            posture=self.posture.name,
            never_set=self.never_set,
            by=self.by,
            reason=self.reason,
            changed_ns=self.changed_ns,
            nonces=self._nonces,
        )
        try:
            self._write(self._path, msgspec.json.encode(_Stored(_digest(content), content)))
        except OSError as error:
            raise LatchUnavailable(f"latch {self._path}: cannot store {self.posture.name}: {error.strerror}") from error


def _read(path: Path) -> _Content:
    """Read the stored content; return CLOSE_ONLY for a new folder and HALTED for a damaged file."""
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
        if stored.content.version != VERSION:
            return _halted(f"latch {path} is of version {stored.content.version}; this program reads {VERSION}")
        if stored.sha256 != _digest(stored.content):
            return _halted(f"latch {path} is damaged: its sha256 differs")
        if stored.content.posture not in Posture.__members__:
            return _halted(f"latch {path} is damaged: posture {stored.content.posture!r} is unknown")
    except FileNotFoundError:
        return _content(Posture.CLOSE_ONLY, "new", never_set=True)
    except OSError as error:
        return _halted(f"latch {path} cannot be read: {error.strerror}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _halted(f"latch {path} is damaged: {error}")
    return stored.content


def _halted(reason: str) -> _Content:
    return _content(Posture.HALTED, reason, never_set=False)


def _content(posture: Posture, reason: str, *, never_set: bool) -> _Content:
    return _Content(
        version=VERSION, posture=posture.name, never_set=never_set, by="", reason=reason, changed_ns=0, nonces=()
    )
