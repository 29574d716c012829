"""Counts of all decisions of a state: those in the table when Brain started, and those since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from titan.domain.reasons import Reason
from titan.v1 import brain_pb2 as b

# Phase, whether it was approved, reason number.
CountKey = tuple[str, bool, int]


class DecisionCounts:
    """A restart changes nothing about them: a run's totals are not those of one life of the process."""

    def __init__(self) -> None:
        self._before: Counter[CountKey] = Counter()
        self._since: Counter[CountKey] = Counter()

    def restore(self, table: Mapping[tuple[str, bool, str], int], unwritten: Iterable[b.Decision]) -> None:
        """Take over what earlier lives decided: the table's counts, and decisions that wait for the table."""
        self._before = Counter(
            {(phase, approved, Reason[reason].value): count for (phase, approved, reason), count in table.items()}
        )
        self._before.update((one.phase_id, one.approved, int(one.reason)) for one in unwritten)

    def add(self, phase_id: str, approved: bool, reason: Reason) -> None:
        """Count a decision."""
        self._since[phase_id, approved, reason.value] += 1

    @property
    def total(self) -> int:
        """Every decision."""
        return self._before.total() + self._since.total()

    def by_reason(self) -> tuple[tuple[int, int], ...]:
        """Return pairs of reason number and count, ascending."""
        counts: Counter[int] = Counter()
        for (_, _, reason), count in (*self._before.items(), *self._since.items()):
            counts[reason] += count
        return tuple(sorted(counts.items()))

    def of_phase(self, phase_id: str) -> tuple[int, int]:
        """Return a phase's number of decisions, and of approvals."""
        own = [
            (approved, count)
            for (phase, approved, _), count in (*self._before.items(), *self._since.items())
            if phase == phase_id
        ]
        return sum(count for _, count in own), sum(count for approved, count in own if approved)
