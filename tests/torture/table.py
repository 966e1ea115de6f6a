"""The table of a torture: what every kind of kill cost."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.torture.episode import Story


@dataclass(slots=True)
class Line:
    """The sums over the kills of one kind."""

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    in_flight: int = 0
    paid_twice: int = 0
    worst: int = 0


def table(stories: Iterable[Story]) -> str:
    """Return a line for every kind of kill; rows doubled count for the last kill of their episode."""
    lines: defaultdict[str, Line] = defaultdict(Line)
    total = Line()
    for story in stories:
        for kill in story.kills:
            for line in (lines[kill.told_as], total):
                line.kills += 1
                line.lost += kill.lost
                line.in_flight += kill.in_flight
                line.paid_twice += kill.paid_twice
                line.worst = max(line.worst, kill.paid_twice)
                line.doubled += story.doubled if kill is story.kills[-1] else 0
    head = f"{'point':<54}{'kills':>6}{'lost':>6}{'doubled':>9}{'in flight':>11}{'paid twice':>12}{'worst':>7}"
    return "\n".join([head, *(_text(name, line) for name, line in sorted(lines.items())), _text("all", total)])


def _text(name: str, line: Line) -> str:
    return (
        f"{name:<54}{line.kills:>6}{line.lost:>6}{line.doubled:>9}{line.in_flight:>11}{line.paid_twice:>12}"
        f"{line.worst:>7}"
    )
