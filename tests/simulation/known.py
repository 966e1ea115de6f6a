"""Misses of the table that are known and reviewed, so that any other is a regression; what they cost: docs/quota.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.cases import CASES

FILE = Path(__file__).parent / "known_misses.txt"
NO_NUMBER = "-"


@dataclass(frozen=True, slots=True, order=True)
class Miss:
    """A figure of a line that its worst run misses."""

    case: str
    meter: str
    figure: str

    def __str__(self) -> str:
        return f"{self.case} on {self.meter}: {self.figure}"


Known = Mapping[Miss, float | None]  # with the worst that was reviewed; None where the figure is no number


def known_misses(path: Path = FILE) -> Known:
    """Read the list.

    Raises ValueError if a line of it is not `case | meter | figure | worst`, or names what the table does not have.
    """
    known: dict[Miss, float | None] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text or text.startswith("#"):
            continue
        where, fields = f"{path.name}:{number}", [field.strip() for field in text.split("|")]
        if len(fields) != 4:
            raise ValueError(f"{where}: must be case | meter | figure | worst, not {text!r}")
        *names, worst = fields
        miss = Miss(*names)
        if miss.case not in CASES or miss.meter not in CASES[miss.case].meters:
            raise ValueError(f"{where}: the table has no case {miss.case} on {miss.meter}")
        if miss in known:
            raise ValueError(f"{where}: {miss} stands there twice")
        known[miss] = None if worst == NO_NUMBER else float(worst)
    return known
