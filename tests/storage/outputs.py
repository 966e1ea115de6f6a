"""Outputs made without a run: an input file, its manifest, and parts with outcomes of the test's choice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.records import Outcome, Status, Totals, Usage
from batchrun.storage.folder import Folder
from batchrun.storage.manifest import Manifest, read_manifest
from batchrun.storage.output import Output
from batchrun.storage.parts import Target, write_part
from batchrun.storage.ranges import Range, Ranges
from batchrun.storage.schema import result_schema
from batchrun.storage.source import Source, scan
from batchrun.storage.sums import Sums
from batchrun.storage.takeover import Claim, take_over

FINISHED_AT = "2026-11-20T08:00:00.250+00:00"


def outcome(row: int, **changes: Any) -> Outcome:
    """Return an answered row: 10 tokens in, 2 out, 0.25 USD."""
    plain = Outcome(
        row,
        Status.OK,
        text=f"answer {row}",
        stop_reason="end_turn",
        usage=Usage(10, 2),
        cost_usd=0.25,
        endpoint="runtime",
        inference_id="us.model",
        source_region="us-east-1",
        attempts=1,
        latency_s=0.5,
        request_id=f"request-{row}",
        finished_at=FINISHED_AT,
    )
    return replace(plain, **changes)


def failure(row: int) -> Outcome:
    """Return a row that got no answer."""
    return Outcome(
        row, Status.FAILED, error_code="Throttled", error_message="too many", attempts=6, finished_at=FINISHED_AT
    )


def totals_of(outcomes: Iterable[Outcome]) -> Totals:
    """Return the sums that a log of these outcomes has."""
    sums = Sums()
    for one in outcomes:
        sums.add(one)
    return sums.totals


def identity(rows_per_part: int, keep: Sequence[str] = ()) -> dict[str, Any]:
    """Return the identity of a job with the id column `id`."""
    return {"input.id": "id", "input.keep": list(keep), "output.rows_per_part": rows_per_part, "answers": "aws"}


@dataclass(frozen=True, slots=True)
class Made:
    """An output folder with its input."""

    folder: Folder
    source: Source
    manifest: Manifest
    keep: tuple[str, ...] = ()

    @property
    def ranges(self) -> Ranges:
        return Ranges(self.manifest.stretches, self.manifest.identity["output.rows_per_part"])

    @property
    def kept(self) -> pa.Schema:
        return pa.schema([self.source.schema.field(name) for name in ("id", *self.keep)])

    @property
    def target(self) -> Target:
        schema = result_schema(list(self.kept))
        return Target(self.folder, schema, self.manifest.run_id, emulated=False)

    def part(self, number: int) -> Path:
        return self.folder.data / self.ranges[number].part_name

    def open(self) -> Output:
        return Output(self.target, self.ranges, self.kept)

    def carried(self, first_row: int, stop_row: int) -> list[pa.RecordBatch]:
        return [batch.batch for batch in self.source.read(self.kept.names, first_row, stop_row)]

    def write(self, of: Range, outcomes: Sequence[Outcome], **changes: Any) -> Path:
        """Write the part of a range with any outcomes, and sums and carried columns that fit them."""
        target = replace(self.target, **changes)
        kept = pa.Table.from_batches(self.carried(0, self.source.rows))
        rows = kept.take([min(one.row, self.source.rows - 1) for one in outcomes])
        write_part(target, of, totals_of(outcomes), outcomes, rows.to_batches())
        return self.part(of.number)

    def finish(self) -> None:
        """Write all parts and _SUCCESS."""
        for of in self.ranges:
            self.write(of, [outcome(row) for row in range(of.first_row, of.stop_row)])
        self.folder.success.write_text("{}")


def object_at(path: Path) -> tuple[Folder, str]:
    """Return the store and the name by which a file anywhere can be read."""
    return Folder(path.parent), path.name


def write_input(path: Path, rows: int, columns: Callable[[int], dict[str, Any]] | None = None) -> None:
    """Write an input file with ids and texts."""
    table = columns(rows) if columns is not None else {"text": [f"text {row}" for row in range(rows)]}
    pq.write_table(pa.table({"id": [f"id-{row}" for row in range(rows)], **table}), path, row_group_size=7)


def make(base: Path, rows: int = 10, rows_per_part: int = 4, keep: Sequence[str] = ()) -> Made:
    """Make an input and an output folder with its manifest; no part is written yet."""
    write_input(base / "in.parquet", rows)
    return take(base, rows, rows_per_part, keep)


def take(base: Path, rows: int, rows_per_part: int, keep: Sequence[str] = ()) -> Made:
    """Take the output folder over for the input file that is there."""
    source = scan(["in.parquet"], base)
    folder = Folder(base / "out")
    folder.make()
    kept = pa.schema([source.schema.field(name) for name in ("id", *keep)])
    claim = Claim("job", identity(rows_per_part, keep), source, kept, rows, rows_per_part, ["us-east-1"])
    return Made(
        folder,
        source,
        take_over(folder, read_manifest(folder) if folder.manifest.exists() else None, claim),
        tuple(keep),
    )
