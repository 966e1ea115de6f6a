"""The audit of one part: its bytes, its footer and its rows against what the manifest and the input say."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.errors import StorageError
from batchrun.records import Totals, Usage
from batchrun.storage.part_facts import AGAIN, proven_facts
from batchrun.storage.ranges import Range
from batchrun.storage.source import RowBatch
from batchrun.storage.store import Store

ROWS_AT_A_TIME = 256
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Carried:
    """The input's carried-over columns, walked through once beside the parts; rows are asked for in order."""

    def __init__(self, batches: Iterator[RowBatch]) -> None:
        self._batches = batches
        self._now: RowBatch | None = None

    def rows(self, first_row: int, rows: int) -> pa.Table:
        """Return `rows` rows from `first_row` on."""
        pieces: list[pa.RecordBatch] = []
        while rows:
            if self._now is None or first_row >= self._now.stop_row:
                self._now = next(self._batches)
                continue
            pieces.append(self._now.batch.slice(first_row - self._now.first_row, rows))
            first_row += pieces[-1].num_rows
            rows -= pieces[-1].num_rows
        return pa.Table.from_batches(pieces)


@dataclass(frozen=True, slots=True)
class Expected:
    """What all parts of an output have in common; `carried` is None where the input cannot be compared with."""

    run_id: str
    emulated: bool
    schema: pa.Schema
    carried: Carried | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What is wrong with a part, and its sums and digest where nothing is."""

    wrong: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    digest: str | None = None


def audit_part(store: Store, of: Range, expected: Expected) -> Audit:
    """Check a part from its bytes to its last row; the first thing found wrong ends the audit of it."""
    try:
        facts = proven_facts(store, of.part)
    except StorageError as error:
        return Audit([str(error)])
    path = store.where(of.part)
    strangeness = facts.strangeness(of, expected.run_id)
    if strangeness is not None:
        return Audit([f"{path}: {strangeness}"])
    if facts.emulated != expected.emulated:
        return Audit([f"{path}: emulated is {facts.emulated}, the manifest says {expected.emulated}; {AGAIN}"])
    try:
        with (
            store.open(of.part) as opened,
            pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 16, page_checksum_verification=True) as file,
        ):
            wrong = _audit_rows(file, of, expected, facts.totals)
    except (OSError, pa.ArrowException) as error:
        wrong = f"cannot be decoded: {error}; {AGAIN}"
    return Audit([f"{path}: {wrong}"]) if wrong else Audit(totals=facts.totals, digest=facts.digest)


def _audit_rows(file: pq.ParquetFile, of: Range, expected: Expected, told: Totals) -> str | None:
    if not file.schema_arrow.equals(expected.schema):
        return f"has another schema: {_schema_difference(file.schema_arrow, expected.schema)}; {AGAIN}"
    sums = _Sums()
    row = of.first_row
    for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME, use_threads=False):
        rows = batch.num_rows
        misplaced = _misplaced(batch.column("row"), row, of)
        if misplaced is not None:
            return f"{misplaced}; {AGAIN}"
        if expected.carried is not None:
            difference = _carried_difference(batch, expected.carried.rows(row, rows), row)
            if difference is not None:
                return f"{difference}; {AGAIN}"
        sums.add(batch)
        row += rows
    if row != of.stop_row:
        return f"has {row - of.first_row} of {of.rows} rows, row {row} is the first that is missing; {AGAIN}"
    return sums.difference(told)


def _misplaced(numbers: pa.Array, first_row: int, of: Range) -> str | None:
    """Return which row stands in a wrong place, None if they run on from `first_row` and end within the range."""
    stop_row = first_row + len(numbers)
    if stop_row <= of.stop_row and numbers.equals(pa.array(range(first_row, stop_row), pa.int64())):
        return None
    for place, number in enumerate(numbers.to_pylist(), first_row):
        if place >= of.stop_row:
            return f"row {number} stands where the end should"
        if number != place:
            return f"row {number} stands where row {place} should"
    return None


def _schema_difference(found: pa.Schema, wanted: pa.Schema) -> str:
    for position, field_wanted in enumerate(wanted):
        field_found = found.field(position) if position < len(found) else None
        if field_found is None or not field_found.equals(field_wanted):
            return f"column {position + 1} is {field_found}, expected {field_wanted}"
    return f"column {len(wanted) + 1} is {found.field(len(wanted))}, expected none"


def _carried_difference(batch: pa.RecordBatch, given: pa.Table, first_row: int) -> str | None:
    for name in given.column_names:
        found = batch.column(name)
        wanted = given.column(name).combine_chunks().cast(found.type)
        if found.equals(wanted):
            continue
        for row, (one, other) in enumerate(zip(found.to_pylist(), wanted.to_pylist(), strict=True), first_row):
            if repr(one) != repr(other):  # as text, since NaN is not equal to itself
                return f"column {name!r} of row {row} is not that of the input"
    return None


class _Sums:
    """Counts and sums over the rows of a part, as its footer should say them."""

    def __init__(self) -> None:
        self._by_status: Counter[str] = Counter()
        self._tokens = dict.fromkeys(TOKENS, 0)
        self._cost_usd = 0.0

    def add(self, batch: pa.RecordBatch) -> None:
        self._by_status.update(batch.column("status").to_pylist())
        for name in TOKENS:
            self._tokens[name] += pc.sum(batch.column(name)).as_py() or 0
        self._cost_usd += pc.sum(batch.column("cost_usd")).as_py() or 0.0

    def difference(self, told: Totals) -> str | None:
        """Return in what the footer differs from the rows."""
        usage = Usage(*self._tokens.values())
        rows = self._by_status.total()
        if (rows, dict(self._by_status)) != (told.rows, dict(told.by_status)):
            return f"its rows are {dict(self._by_status)}, its footer says {told.rows} rows, {dict(told.by_status)}"
        if usage != told.usage:
            return f"its rows have {usage}, its footer says {told.usage}"
        # The log added the dollars in the order in which rows ended.
        if not math.isclose(self._cost_usd, told.cost_usd, rel_tol=1e-9, abs_tol=1e-9):
            return f"its rows cost {self._cost_usd:.9f} USD, its footer says {told.cost_usd:.9f} USD"
        return None
