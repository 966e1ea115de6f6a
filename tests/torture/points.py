"""The points of the durability code where a run can be killed, named by the file they concern and what is done to it.

A point is not in the code: it is a call of the operating system, or of the Parquet writer, that concerns a file with a
role in the output folder. A new one is a line in ROLES, or a wrapped call in `hooks.py`, and a line in POINTS.
"""

import re
from dataclasses import dataclass

BEFORE, HALF, DURING, AFTER = "before", "half way", "during", "after"
BOTH = (BEFORE, AFTER)
LINE = (BEFORE, HALF, AFTER)
# Which kind of job passes a point for certain; see `jobs.py`.
PLAIN, LONG, MIXED, TRUNCATED = "plain", "long answers", "faults and cuts", "truncated rows"

# Of a path relative to the output folder; the first that fits counts.
ROLES = (
    (r"wal/\d+\.log", "log"),
    (r"wal/.*\.arrow", "spool"),
    (r"tmp/\d+\.log", "reopened log"),
    (r"tmp/part-.*", "part"),
    (r"data/part-.*", "part"),
    (r"data", "data folder"),
    (r"wal", "wal folder"),
    (r"tmp", "tmp folder"),
    (r"\.?manifest\.json(\.new)?", "manifest"),
    (r"\.?_SUCCESS(\.new)?", "_SUCCESS"),
    (r"\.?status\.json(\.new)?", "status"),
    (r"\.?summary\.json(\.new)?", "summary"),
    (r"lock", "lock"),
)


@dataclass(frozen=True, slots=True)
class Death:
    """Where a run is to die: at the n-th pass of a point; where it dies during it, so long after it began."""

    point: str
    when: str
    nth: int
    delay_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.when} {self.point}, pass {self.nth}"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What must have happened to an output for the next start to pass a point."""

    name: str
    death: Death | None = None  # None: the start came to its end
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ("run",)  # which passes the point


NOTHING = Earlier("new")
IN_THE_MIDST = Earlier("resumed", Death("log append outcome", AFTER, 7))
PART_HALF_WRITTEN = Earlier("resumed", Death("part close", BEFORE, 1))
LOG_LEFT = Earlier("resumed", Death("part rename", AFTER, 1))
SOME_ROWS_FINISHED = Earlier("extended", None, ("--limit", "6"))
TO_BE_MOVED = Earlier("--fresh", Death("log append outcome", AFTER, 19), (), ("run", "--fresh"))
FINISHED = Earlier("retry", command=("retry",))


@dataclass(frozen=True, slots=True)
class Point:
    """A call that concerns a file, where in it a run can be killed, and which job and start pass it for certain."""

    name: str
    whens: tuple[str, ...] = BOTH
    job: str = PLAIN
    earlier: Earlier = NOTHING
    most: int = 1  # passes that such a start has for certain


POINTS = (
    Point("output folder made"),
    Point("data folder made"),
    Point("wal folder made"),
    Point("tmp folder made"),
    Point("lock create"),
    Point("lock write"),
    Point("manifest sync"),
    Point("manifest rename"),
    Point("output folder sync"),
    Point("log create", most=4),
    Point("log truncate", most=4),
    Point("log append sent", LINE, most=48),
    Point("log append outcome", LINE, most=48),
    Point("log append outcome", LINE, LONG, most=24),
    Point("log append unsettled", LINE, MIXED, most=2),
    Point("log append paid", LINE, MIXED, most=2),
    Point("part begin", (BEFORE, DURING, AFTER), LONG, most=3),
    Point("part row group", (BEFORE, DURING, AFTER), LONG, most=3),
    Point("part close", most=4),
    Point("part sync", most=4),
    Point("part rename", most=4),
    Point("data folder sync", most=4),
    Point("log remove", most=4),
    Point("spool remove", most=4),
    Point("status rename"),
    Point("summary sync"),
    Point("summary rename"),
    Point("_SUCCESS sync"),
    Point("_SUCCESS rename"),
    Point("lock truncate"),
    # during a resume
    Point("log truncate", BOTH, earlier=IN_THE_MIDST),
    Point("log append unsettled", LINE, earlier=IN_THE_MIDST),
    Point("spool remove", BOTH, earlier=IN_THE_MIDST),
    Point("part remove", BOTH, earlier=PART_HALF_WRITTEN),
    Point("log remove", BOTH, earlier=LOG_LEFT),
    Point("log append sent", LINE, earlier=IN_THE_MIDST, most=30),
    Point("part rename", BOTH, earlier=IN_THE_MIDST, most=4),
    Point("_SUCCESS remove", BOTH, earlier=SOME_ROWS_FINISHED),
    Point("manifest rename", BOTH, earlier=SOME_ROWS_FINISHED),
    # while an earlier output is moved aside
    Point("output folder set aside", BOTH, earlier=TO_BE_MOVED),
    Point("data folder set aside", BOTH, earlier=TO_BE_MOVED),
    Point("wal folder set aside", BOTH, earlier=TO_BE_MOVED),
    Point("tmp folder set aside", BOTH, earlier=TO_BE_MOVED),
    Point("status set aside", BOTH, earlier=TO_BE_MOVED),
    Point("manifest set aside", BOTH, earlier=TO_BE_MOVED),
    Point("output folder sync", BOTH, earlier=TO_BE_MOVED),
    Point("data folder made", BOTH, earlier=TO_BE_MOVED),
    Point("manifest rename", BOTH, earlier=TO_BE_MOVED),
    # while rows of finished parts are sent again
    Point("reopened log sync", BOTH, TRUNCATED, FINISHED, most=4),
    Point("reopened log rename", BOTH, TRUNCATED, FINISHED, most=4),
    Point("wal folder sync", BOTH, TRUNCATED, FINISHED, most=4),
    Point("_SUCCESS remove", BOTH, TRUNCATED, FINISHED),
    Point("log append sent", LINE, TRUNCATED, FINISHED, most=8),
    Point("log append outcome", LINE, TRUNCATED, FINISHED, most=8),
    Point("part sync", BOTH, TRUNCATED, FINISHED, most=4),
    Point("part rename", BOTH, TRUNCATED, FINISHED, most=4),
    Point("data folder sync", BOTH, TRUNCATED, FINISHED, most=4),
    Point("log remove", BOTH, TRUNCATED, FINISHED, most=4),
    Point("_SUCCESS rename", BOTH, TRUNCATED, FINISHED),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A point, and where in it."""

    point: Point
    when: str

    def __str__(self) -> str:
        start = f"; {self.point.earlier.name}" if self.point.earlier is not NOTHING else ""
        job = f"; {self.point.job}" if self.point.job != PLAIN else ""
        return f"{self.point.name}: {self.when}{start}{job}"


SPOTS = tuple(Spot(point, when) for point in POINTS for when in point.whens)


def role_of(relative: str) -> str | None:
    """Return the role of a path relative to the output folder, None if it has none."""
    return next((role for pattern, role in ROLES if re.fullmatch(pattern, relative)), None)
