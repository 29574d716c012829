"""Pure: whether the watches still tell what the API server has.

A kopf watch can end on an ERROR other than 410 and is not started anew; a stream can hang half-open; a datastore can
lose events. So each version that a list or an own write showed must arrive by the watch as well, within a time.
Versions are compared for equality only, as the API demands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from titan_operator.cluster.kinds import Kind

# Of one object, how many delivered versions are remembered: a list may be a little older than what the watch told.
_VERSIONS = 16
_DELETED = ""


@dataclass(frozen=True)
class Overdue:
    """A watch that has not told what it should have."""

    kind: Kind
    namespace: str
    name: str
    age_s: float
    resource_version: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        what = f"version {self.resource_version}" if self.resource_version else "deletion"
        return f"{self.kind.name} {where}: {what}, known for {self.age_s:.0f} s, was not told by the watch"


@dataclass
class _Object:
    delivered: deque[str] = field(default_factory=lambda: deque(maxlen=_VERSIONS))
    # Versions in the order in which we learnt of them, and when, in seconds; not yet delivered.
    expected: dict[str, float] = field(default_factory=dict)
    # When a list first lacked what the watch had told of.
    missing_s: float | None = None

    @property
    def exists(self) -> bool:
        """Whether the watch last told that it exists."""
        return bool(self.delivered) and self.delivered[-1] != _DELETED


class WatchTracker:
    """What the watches delivered, against what is known to exist.

    Parameters
    ----------
    overdue_s
        How long a watch may take to tell, in seconds.
    """

    def __init__(self, overdue_s: float) -> None:
        self._overdue_s = overdue_s
        self._objects: dict[tuple[Kind, str], dict[str, _Object]] = {}

    def seen(self, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        """The watch told that the object has this version."""
        self._deliver(kind, namespace, name, resource_version)

    def deleted(self, kind: Kind, namespace: str, name: str) -> None:
        """The watch told that the object is gone."""
        entry = self._deliver(kind, namespace, name, _DELETED)
        # Whatever we knew of it came before.
        entry.expected.clear()

    def expect(self, kind: Kind, namespace: str, name: str, resource_version: str, now_s: float) -> None:
        """The object has this version: an own write was answered so."""
        entry = self._entry(kind, namespace, name)
        entry.missing_s = None
        if entry.delivered and entry.delivered[-1] == resource_version:
            # The watch skipped versions, or an older list had missed the object.
            entry.expected.clear()
        elif resource_version not in entry.delivered:
            entry.expected.setdefault(resource_version, now_s)

    def check(self, kind: Kind, namespace: str, listed: Mapping[str, str], now_s: float) -> None:
        """Take the versions, by name, of a list of all objects of the kind in the namespace."""
        for name, version in listed.items():
            self.expect(kind, namespace, name, version, now_s)
        objects = self._objects.get((kind, namespace), {})
        for name in [name for name in objects if name not in listed]:
            entry = objects[name]
            if not entry.exists:
                del objects[name]
            elif entry.missing_s is None:
                # It may have been made since the list was read: the next one tells.
                entry.missing_s = now_s
            else:
                entry.expected.setdefault(_DELETED, entry.missing_s)

    def age_s(self, kind: Kind, now_s: float) -> float:
        """Return for how long the watch of the kind has owed something, in seconds; 0 if it owes nothing."""
        owed = [item.age_s for item in self._owed(now_s) if item.kind == kind]
        return max(owed, default=0.0)

    def overdue(self, now_s: float) -> list[Overdue]:
        """Return what the watches owe for longer than they may, the oldest first."""
        late = [item for item in self._owed(now_s) if item.age_s > self._overdue_s]
        return sorted(late, key=lambda item: -item.age_s)

    def restarted(self) -> None:
        """The watches begin anew, with a list of all there is: nothing is delivered, and nothing owed before told."""
        self._objects.clear()

    def _owed(self, now_s: float) -> list[Overdue]:
        return [
            Overdue(kind, namespace, name, now_s - since_s, version)
            for (kind, namespace), objects in self._objects.items()
            for name, entry in objects.items()
            for version, since_s in list(entry.expected.items())[:1]
        ]

    def _deliver(self, kind: Kind, namespace: str, name: str, version: str) -> _Object:
        entry = self._entry(kind, namespace, name)
        entry.delivered.append(version)
        if version in entry.expected:
            # A watch tells in order, and may skip: what we learnt of before is owed no more.
            known = list(entry.expected)
            for older in known[: known.index(version) + 1]:
                del entry.expected[older]
        return entry

    def _entry(self, kind: Kind, namespace: str, name: str) -> _Object:
        return self._objects.setdefault((kind, namespace), {}).setdefault(name, _Object())
