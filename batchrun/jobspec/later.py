"""Keys and values that other open issues bring: one table, and the refusal by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from batchrun.jobspec.problems import Path, Problem, shown

AT_THE_LIMIT = "At the limit"
NOTHING_LOST = "Nothing lost"
WHOLE_CARD = "The whole model card"


@dataclass(frozen=True, slots=True)
class Later:
    """A key that another issue brings.

    `harmless` are values that say what this version does anyway, so they are accepted. With `value` the key is in
    force already and only the values that it tells are to come. A `*` in `key` stands for any letters.
    """

    key: str
    issue: str
    what: str
    harmless: tuple[object, ...] = ()
    value: Callable[[object], bool] | None = None

    def refuses(self, value: object) -> bool:
        """Tell whether `value` asks for what is not built."""
        if self.value is not None:
            return self.value(value)
        return not any(type(value) is type(one) and value == one for one in self.harmless)


LATER = (
    Later("routing.lane", WHOLE_CARD, "a lane of one's own", ([],)),
    Later("quota.discover", WHOLE_CARD, "reading quotas from AWS", (False,)),
    Later("dedupe", WHOLE_CARD, "sending equal requests once", (False,)),
    Later("aws.control_url", WHOLE_CARD, "reading quotas and profiles from AWS"),
)


def take_later(raw: dict[str, Any]) -> list[Problem]:
    """Take the keys that are still to come out of `raw`; return a problem for each that asks for something."""
    problems = []
    for later in LATER:
        for path, table in list(_places(raw, tuple(later.key.split(".")))):
            value = table[path[-1]]
            if later.refuses(value):
                asked = f" = {shown(path, value)}" if later.value else ""
                problems.append(Problem(path, f"{asked}: {later.what} is not built yet (issue «{later.issue}»)"))
            if later.value is None:
                del table[path[-1]]
    for name in {later.key.partition(".")[0] for later in LATER}:
        if raw.get(name) == {}:
            del raw[name]
    return problems


def _places(table: Any, pattern: Path, above: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield where in `table` the key `pattern` stands, with the table that holds it."""
    if not isinstance(table, dict):
        return
    for key in table:
        if fnmatchcase(key, pattern[0]):
            if len(pattern) == 1:
                yield (*above, key), table
            else:
                yield from _places(table[key], pattern[1:], (*above, key))
