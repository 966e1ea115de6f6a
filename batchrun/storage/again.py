"""Rows of finished parts that are sent again: a log that takes the place of a part until the new part is there.

Such a log begins with the digest of the part that it was made from. While that part stands, the range is open again;
once another has replaced it, the log is what a kill left over.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import fields

import pyarrow.parquet as pq

from batchrun.errors import InputError, StorageError
from batchrun.records import Outcome, Status, Usage
from batchrun.storage.changes import FRESH
from batchrun.storage.files import sync_folder
from batchrun.storage.log_lines import again_line, earlier_line, outcome_line, unsettled_line
from batchrun.storage.manifest import Manifest
from batchrun.storage.part_facts import PartFacts, read_facts
from batchrun.storage.ranges import DATA, Range, Ranges
from batchrun.storage.replay import made_from
from batchrun.storage.store import Store
from batchrun.storage.takeover import Claim

ROWS_AT_A_TIME = 256
_PLAIN = [one.name for one in fields(Outcome) if one.name not in ("status", "usage", "finished_at")]
_TOKENS = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"]


def refuse_unfinished(store: Store, old: Manifest | None, claim: Claim) -> None:
    """Raise InputError unless each row that a job asks for is in a part; `old` is the output's manifest, if any."""
    there, rows = store.names(DATA), claim.rows
    ranges = Ranges(old.stretches if old is not None else (), claim.rows_per_part)
    done = sum(of.rows for of in ranges if of.part_name in there)
    if done < rows or old is None:
        raise InputError(
            f"{store.name}: the job has not come to its end: {rows - done:,} of {rows:,} rows are in no part yet; "
            "run it first: batchrun run"
        )


def reopen_parts(store: Store, ranges: Ranges, manifest: Manifest, statuses: Collection[Status]) -> int:
    """Open the ranges again whose parts hold rows of `statuses`; return how many such rows there are.

    A range that is open again already stays as it is. Raises StorageError if a part is not what it should be,
    InputError if rows come from an input file that is not what it was when they were answered.
    """
    concerned: list[tuple[Range, PartFacts]] = []
    for of in ranges:
        facts = read_facts(store, of.part)
        if strangeness := facts.strangeness(of, manifest.run_id):
            raise StorageError(f"{store.where(of.part)}: {strangeness}")
        log = store.wal / of.log_name
        if _rows_of(facts, statuses) and (not log.exists() or made_from(log) != facts.digest):
            _refuse_other_content(store, of, manifest)
            concerned.append((of, facts))
    return sum(reopen(store, of, facts, statuses) for of, facts in concerned)


def _rows_of(facts: PartFacts, statuses: Collection[Status]) -> int:
    return sum(facts.totals.by_status.get(status.value, 0) for status in statuses)


def _refuse_other_content(store: Store, of: Range, manifest: Manifest) -> None:
    """Refuse a range whose columns would be carried over from another content than its answers are of."""
    stop_row = 0
    for file in manifest.files:
        first_row, stop_row = stop_row, stop_row + file.rows
        if file.name in manifest.accepted and first_row < of.stop_row and stop_row > of.first_row:
            raise InputError(
                f"{store.name}: rows {of.first_row} to {of.last_row} cannot be sent again: input file {file.name} has "
                f"changed or is missing since they were answered; {FRESH}"
            )


def reopen(store: Store, of: Range, facts: PartFacts, statuses: Collection[Status]) -> int:
    """Make the log of a range from its part, in which rows of `statuses` have no outcome; return how many they are.

    The part stays. The log is there whole or not at all. Raises OSError if it cannot be written.
    """
    beside = store.tmp / of.log_name
    with beside.open("wb") as file:
        file.write(again_line(facts.digest))
        if facts.totals.unsettled_usd:
            file.write(unsettled_line(of.first_row, facts.totals.unsettled_usd))
        for outcome in outcomes_of(store, of):
            file.write(earlier_line(outcome) if outcome.status in statuses else outcome_line(outcome))
        file.flush()
        os.fsync(file.fileno())
    store.remove_log(of.log_name)  # a kill may have left the log of the part, and copies of it
    beside.rename(store.wal / of.log_name)
    sync_folder(store.wal)
    return _rows_of(facts, statuses)


def outcomes_of(store: Store, of: Range) -> Iterator[Outcome]:
    """Yield the outcomes that a part holds, in row order."""
    with store.open(of.part) as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
        plain = [name for name in _PLAIN if name in file.schema_arrow.names]  # some columns not every job has
        columns = [*plain, *_TOKENS, "status", "finished_at"]
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns, use_threads=False):
            for row in batch.to_pylist():
                ended = row["finished_at"]
                yield Outcome(
                    **{name: row[name] for name in plain},
                    status=Status(row["status"]),
                    usage=Usage(*(row[name] or 0 for name in _TOKENS)),
                    finished_at=ended.isoformat(timespec="milliseconds") if ended is not None else "",
                )
