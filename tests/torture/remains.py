"""What a kill leaves in an output folder, read by code of the harness's own: rows with an outcome, rows in flight."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

REQUEST_ID = 12  # its place among the fields of an outcome


@dataclass(frozen=True, slots=True)
class Remains:
    """The rows that an output, and what was moved aside of it, hold; the logs whole, to tell later lines from these."""

    outcomes: frozenset[tuple[int, str | None]]  # (row, request id)
    aside: frozenset[tuple[int, str | None]]  # those of them that were moved aside
    in_flight: tuple[int, ...]  # rows that were on their way when the last start ended
    logs: dict[str, bytes] = field(default_factory=dict)


def look(base: Path, before: Remains) -> Remains:
    """Read the parts and logs of `base`/out and of all that was moved aside.

    A row is on its way from its `sent` line to its outcome, or to an `unsettled` line: after a `paid` line its next
    call goes out at once.
    """
    found: dict[bool, set[tuple[int, str | None]]] = {False: set(), True: set()}
    in_flight: set[int] = set()
    logs: dict[str, bytes] = {}
    for path in sorted(base.glob("out*/data/part-*.parquet")):
        table = pq.read_table(path, columns=["row", "request_id"])
        ids = zip(table["row"].to_pylist(), table["request_id"].to_pylist(), strict=True)
        found[_is_aside(path, base)].update(ids)
    paths = sorted(base.glob("out*/wal/*.log"))
    # Where a log stood before. What it says is not enough: one begun anew may begin with the lines of the one before.
    stood = {path: path for path in paths}
    for moved in paths:
        if _is_aside(moved, base) and str(moved) not in before.logs:
            in_place = base / "out" / "wal" / moved.name
            stood[moved] = in_place
            stood.pop(in_place, None)
    for path in paths:
        content = path.read_bytes()
        logs[str(path)] = content = content[: content.rfind(b"\n") + 1]
        old = before.logs.get(str(stood.get(path)), b"")
        known = len(old) if content.startswith(old) else 0
        found[_is_aside(path, base)].update(
            (value[0], value[REQUEST_ID]) for event, value in events(content) if event == "outcome"
        )
        for event, value in events(content[known:]):
            if event == "sent":
                in_flight.add(value)
            elif event in {"outcome", "unsettled"}:
                in_flight.discard(value[0] if event == "outcome" else value)
    outcomes = frozenset(found[False] | found[True])
    return Remains(outcomes, frozenset(found[True]), tuple(sorted(in_flight)), logs)


def _is_aside(path: Path, base: Path) -> bool:
    return path.relative_to(base).parts[0] != "out"


def events(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield what the whole lines of a log say: the event's name and its value."""
    for line in content.splitlines():
        try:
            if int(line[:8], 16) == zlib.crc32(line[9:]):
                told: dict[str, Any] = json.loads(line[9:])
                name = next(iter(told))
                yield name, told[name]
        except ValueError:
            continue


def dollars_of(part: Path) -> float:
    """Return what a part's footer accounts for: its rows' costs, and the most that calls of unknown end cost."""
    totals = json.loads(pq.read_metadata(part).metadata[b"batchrun"])["totals"]
    return float(totals["cost_usd"] + totals["unsettled_usd"])


def empty() -> Remains:
    """Return what there is before the first start."""
    return Remains(frozenset(), frozenset(), ())
