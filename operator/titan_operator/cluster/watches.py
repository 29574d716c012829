"""Pure: whether the watches still deliver the changes of the API server.

A kopf watch can end on an ERROR other than 410 and is not restarted; a stream can hang half-open; a datastore can
lose events. So each version that a list or an own write showed must arrive by the watch as well, within a time.
Versions are compared for equality only, as the API demands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from titan_operator.cluster.resource_kinds import Kind

# Delivered versions that are kept of each object: a list may be a little older than the last event of the watch.
_VERSIONS = 16
_DELETED = ""


@dataclass(frozen=True)
class Overdue:
    """A version or deletion that a watch should have delivered."""

    kind: Kind
    namespace: str
    name: str
    age_s: float
    resource_version: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        what = f"version {self.resource_version}" if self.resource_version else "deletion"
        return f"{self.kind.name} {where}: {what}, known for {self.age_s:.0f} s, was not delivered by the watch"


@dataclass
class _Object:
    delivered: deque[str] = field(default_factory=lambda: deque(maxlen=_VERSIONS))
    # Versions that are not yet delivered, in the order in which they became known, each with its time in seconds.
    expected: dict[str, float] = field(default_factory=dict)
    # When a list first lacked an object that the watch had delivered.
    missing_s: float | None = None

    @property
    def exists(self) -> bool:
        """Whether the watch last delivered that the object exists."""
        return bool(self.delivered) and self.delivered[-1] != _DELETED


class WatchTracker:
    """Compares the events that the watches delivered with the objects that are known to exist.

    Parameters
    ----------
    overdue_s
        How long a watch may take to deliver, in seconds.
    """

    def __init__(self, overdue_s: float) -> None:
        self._overdue_s = overdue_s
        self._objects: dict[tuple[Kind, str], dict[str, _Object]] = {}

    def seen(self, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        """Record that the watch delivered this version."""
        self._deliver(kind, namespace, name, resource_version)

    def deleted(self, kind: Kind, namespace: str, name: str) -> None:
        """Record that the watch delivered the object's deletion."""
        entry = self._deliver(kind, namespace, name, _DELETED)
        # All known versions are older than the deletion.
        entry.expected.clear()

    def expect(self, kind: Kind, namespace: str, name: str, resource_version: str, now_s: float) -> None:
        """Expect this version: the API server returned it for an own write."""
        entry = self._entry(kind, namespace, name)
        entry.missing_s = None
        if entry.delivered and entry.delivered[-1] == resource_version:
            # The watch skipped versions, or an older list had missed the object.
            entry.expected.clear()
        elif resource_version not in entry.delivered:
            entry.expected.setdefault(resource_version, now_s)

    def check(self, kind: Kind, namespace: str, listed: Mapping[str, str], now_s: float) -> None:
        """Expect the versions, by name, of a list of all objects of the kind in the namespace."""
        for name, version in listed.items():
            self.expect(kind, namespace, name, version, now_s)
        objects = self._objects.get((kind, namespace), {})
        for name in [name for name in objects if name not in listed]:
            entry = objects[name]
            if not entry.exists:
                del objects[name]
            elif entry.missing_s is None:
                # It may have been created after the list was read: the next list decides.
                entry.missing_s = now_s
            else:
                entry.expected.setdefault(_DELETED, entry.missing_s)

    def age_s(self, kind: Kind, now_s: float) -> float:
        """Return the age of the kind's oldest undelivered version, in seconds; 0 if all are delivered."""
        ages = [item.age_s for item in self._expected(now_s) if item.kind == kind]
        return max(ages, default=0.0)

    def overdue(self, now_s: float) -> list[Overdue]:
        """Return the versions that are overdue, the oldest first."""
        late = [item for item in self._expected(now_s) if item.age_s > self._overdue_s]
        return sorted(late, key=lambda item: -item.age_s)

    def restarted(self) -> None:
        """Reset all: the restarted watches begin with a list of all objects."""
        self._objects.clear()

    def _expected(self, now_s: float) -> list[Overdue]:
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
            # A watch delivers in order and may skip versions: earlier ones are no longer expected.
            known = list(entry.expected)
            for older in known[: known.index(version) + 1]:
                del entry.expected[older]
        return entry

    def _entry(self, kind: Kind, namespace: str, name: str) -> _Object:
        return self._objects.setdefault((kind, namespace), {}).setdefault(name, _Object())
