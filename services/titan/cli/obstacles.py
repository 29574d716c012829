"""Obstacles to trading, as ``why`` of both command lines prints them: the first one with its remedy, then the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from titan.cli.output import Output, print_document, print_text, print_wrapped


@dataclass(frozen=True)
class Obstacle:
    """One obstacle to trading: its place, its description, and the next step."""

    where: str
    sentence: str
    remedy: str

    def document(self) -> dict[str, str]:
        """Make its object for JSON and YAML."""
        return {"where": self.where, "what": self.sentence, "remedy": self.remedy}


def print_obstacles(obstacles: Sequence[Obstacle], output: Output, *, none: str) -> None:
    """Print obstacles, or the sentence ``none`` without any."""
    if output is not Output.TABLE:
        print_document({"obstacles": [each.document() for each in obstacles]}, output)
        return
    if not obstacles:
        print_wrapped(none)
        return
    first, *others = obstacles
    print_wrapped(f"{first.where}: {first.sentence}")
    print_wrapped(f"  → {first.remedy}", "    ")
    if others:
        print_text("then:")
    for each in others:
        print_wrapped(f"  {each.where}: {each.sentence}", "    ")
