"""The proof that an output holds one result for every input row, or the list of what is wrong with it."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError, StorageError
from batchrun.storage.audit import Carried, Expected, audit_part
from batchrun.storage.changes import input_changes
from batchrun.storage.manifest import Manifest, read_manifest
from batchrun.storage.ranges import DATA, Range, Ranges
from batchrun.storage.replay import made_from, read_log
from batchrun.storage.schema import result_schema, stored_schema
from batchrun.storage.source import Source, duplicate_ids
from batchrun.storage.store import MANIFEST, SUCCESS, Store
from batchrun.storage.sums import Sums

SPANS_SHOWN = 20

Allows = Callable[[int, int], bool]


def verify(
    store: Store, source: Source, rows: int, id_column: str | None = None, allows: Allows | None = None
) -> list[str]:
    """Return what is wrong with an output that should hold a result for each of the input's first `rows` rows.

    Nothing is written, and a few hundred rows are held at a time. `allows` tells whether so many rows that are not
    ok, of so many in all, let a run end well; without it a missing _SUCCESS is no fault. While a run is going on,
    the list is what that run has still to do.
    """
    if not store.exists(MANIFEST):
        return [f"{store.name}: no manifest.json, so no run has written here: run the job first"]
    lines: list[str] = []
    try:
        for line in _Verification(store, read_manifest(store), source).lines(rows, id_column, allows):
            lines.append(line)  # noqa: PERF402 -- what was found before an error counts too
    except (InputError, StorageError) as error:
        lines.append(str(error))
    except OSError as error:
        lines.append(f"{error.filename or store.name}: {error.strerror or error}")
    return lines


class _Verification:
    """One walk over an output and its input."""

    def __init__(self, store: Store, manifest: Manifest, source: Source) -> None:
        self._store = store
        store.adopt(manifest.run_id)
        self._manifest = manifest
        self._source = source
        self._ranges = Ranges(manifest.stretches, manifest.identity["output.rows_per_part"])
        self._names = store.names(DATA)
        self._sums = Sums()

    def lines(self, rows: int, id_column: str | None, allows: Allows | None) -> Iterator[str]:
        """Yield what is wrong: the input, the parts, the rows without a result, ids, foreign files, _SUCCESS."""
        changed = input_changes(self._manifest, self._source)
        yield from changed
        own_id = self._manifest.identity.get("input.id")
        if own_id != id_column:
            yield f"input.id is {id_column!r}, the output was written with {own_id!r}"
        complete = True
        for line in self._parts(self._expected(input_changed=bool(changed or self._manifest.accepted))):
            complete = False
            yield line
        yield from self._foreign()
        yield from self._success(allows, complete=complete)
        if rows > self._ranges.rows:
            limit = self._ranges.rows
            yield (
                f"rows {limit:,} to {rows - 1:,} have no result: the last run took on {limit:,} rows; "
                f"run again, without a limit, or verify with --limit {limit}"
            )
        if id_column is not None and (faults := duplicate_ids(self._source, id_column)):
            yield f"input.id {id_column!r}: {faults}"

    def _expected(self, *, input_changed: bool) -> Expected:
        """Return what parts should be like; a changed input has nothing to say about rows that were read before."""
        manifest, source = self._manifest, self._source
        if input_changed or source.rows < self._ranges.rows:
            return Expected(manifest.run_id, manifest.emulated, self._schema_found(), None)
        own_id = manifest.identity.get("input.id")
        kept = [*([own_id] if own_id is not None else []), *manifest.identity.get("input.keep", [])]
        source.require(kept, "input.id and input.keep")
        fields = [source.schema.field(name) for name in kept if name in source.schema.names]
        carried = Carried(source.read(kept, 0, self._ranges.rows)) if kept else None
        return Expected(
            manifest.run_id,
            manifest.emulated,
            stored_schema(result_schema(fields, list(manifest.extras or ()))),
            carried,
        )

    def _schema_found(self) -> pa.Schema:
        """Return the schema of the first part that has one, so that the others are held against it."""
        for name in sorted(self._names):
            try:
                with self._store.open(f"{DATA}/{name}") as file:
                    return pq.read_schema(file)
            except (OSError, pa.ArrowException):
                continue
        return result_schema([])

    def _parts(self, expected: Expected) -> Iterator[str]:
        """Audit the parts; yield what is wrong with them and which rows lack a result."""
        lacking: list[tuple[int, int]] = []
        for of in self._ranges:
            if of.part_name in self._names:
                audit = audit_part(self._store, of, expected)
                yield from audit.wrong
                self._sums.add_totals(audit.totals)
                log = self._store.wal / of.log_name
                if audit.digest is not None and log.exists() and made_from(log) == audit.digest:
                    yield f"{self._unfinished(of)}; until then the part of before stands"
            elif (self._store.wal / of.log_name).exists():
                yield self._unfinished(of)
            elif not of.rows:
                yield f"{self._store.where(of.part)}: missing: run again to have the empty part written"
            else:
                lacking.append((of.first_row, of.stop_row))
        yield from _rows_lacking(lacking)

    def _unfinished(self, of: Range) -> str:
        log = read_log(self._store.wal / of.log_name, of)
        torn = f", {log.torn_lines} torn lines" if log.torn_lines else ""
        return (
            f"part {of.number} is not written yet: {log.sums.rows:,} of {of.rows:,} rows "
            f"({of.first_row:,} to {of.last_row:,}) done{torn}: run again"
        )

    def _foreign(self) -> Iterator[str]:
        for name in sorted(self._names.keys() - {of.part_name for of in self._ranges}):
            path = self._store.where(f"{DATA}/{name}")
            yield f"{path}: is no part of this output, yet readers of the folder take it: move it away"

    def _success(self, allows: Allows | None, *, complete: bool) -> Iterator[str]:
        mark, there = self._store.where(SUCCESS), self._store.exists(SUCCESS)
        rows, not_ok = self._sums.rows, self._sums.rows - self._sums.by_status.get("ok", 0)
        allowed = allows is None or allows(not_ok, rows)
        if there and not complete:
            yield f"{mark}: is there although results are missing or wrong: run again once that is put right"
        elif there and not allowed:
            yield f"{mark}: is there although {not_ok:,} of {rows:,} rows are not ok, above limits.max_failed"
        elif complete and allowed and allows is not None and not there:
            yield f"{mark}: missing although every row has its result: run again to have it written"


def _rows_lacking(spans: list[tuple[int, int]]) -> Iterator[str]:
    """Yield a line for each stretch of rows without a result, neighbours taken together."""
    joined: list[tuple[int, int]] = []
    for first_row, stop_row in spans:
        if joined and joined[-1][1] == first_row:
            joined[-1] = (joined[-1][0], stop_row)
        elif first_row < stop_row:
            joined.append((first_row, stop_row))
    for first_row, stop_row in joined[:SPANS_SHOWN]:
        single = stop_row - first_row == 1
        named = f"row {first_row:,} has" if single else f"rows {first_row:,} to {stop_row - 1:,} have"
        yield f"{named} no result: run again"
    if len(joined) > SPANS_SHOWN:
        rows = sum(stop_row - first_row for first_row, stop_row in joined[SPANS_SHOWN:])
        yield f"and {rows:,} further rows in {len(joined) - SPANS_SHOWN:,} stretches have no result"
