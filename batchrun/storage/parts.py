"""Parts: a range's outcomes as one Parquet file that proves its own bytes.

The footer carries the part's number, rows, sums and a SHA-256 of the whole file, taken with the digest's own place
filled with zeros and written into that place afterwards. A flipped byte anywhere shows.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import StorageError
from batchrun.records import Outcome, Totals, Usage
from batchrun.storage.files import sync_folder
from batchrun.storage.ranges import Range
from batchrun.storage.schema import FEW_VALUES, result_columns

ROW_GROUP_BYTES = 4_000_000  # of text; a reader of the result needs no more memory than a few of these
ROWS_PER_CHUNK = 256
KEY = b"batchrun"
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What a part says of itself."""

    number: int
    first_row: int
    last_row: int
    run_id: str
    emulated: bool
    totals: Totals
    digest: str = _NO_DIGEST


@dataclass(frozen=True, slots=True)
class Target:
    """Where parts go and what all of them share."""

    data: Path
    tmp: Path
    schema: pa.Schema
    run_id: str
    emulated: bool


def write_part(
    target: Target, of: Range, totals: Totals, outcomes: Iterable[Outcome], kept: Iterable[pa.RecordBatch]
) -> Path:
    """Stream a range's outcomes, in row order, into its part; it appears in data/ whole and synced, or not at all."""
    beside, final = target.tmp / of.part_name, target.data / of.part_name
    facts = PartFacts(of.number, of.first_row, of.stop_row - 1, target.run_id, target.emulated, totals)
    writer = pq.ParquetWriter(
        beside, target.schema, compression="zstd", use_dictionary=FEW_VALUES, write_page_checksum=True
    )
    with writer:
        for table in _row_groups(target.schema, outcomes, kept):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
        writer.add_key_value_metadata({KEY.decode(): json.dumps(asdict(facts))})
    _sign(beside)
    beside.rename(final)
    sync_folder(target.data)
    return final


def read_facts(path: Path) -> PartFacts:
    """Read what a part says of itself.

    Raises StorageError if the file is no part.
    """
    try:
        with pq.ParquetFile(path) as file:
            told = json.loads(file.metadata.metadata[KEY])
        totals = told.pop("totals")
        return PartFacts(**told, totals=Totals(**{**totals, "usage": Usage(**totals["usage"])}))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path}: not a part of a batchrun output: {_short(error)}") from error


def digest_of(path: Path, digest: str) -> str:
    """Return the SHA-256 of a file with the one place that holds `digest` filled with zeros."""
    with path.open("rb") as file:
        return _digest(file, _place(file, digest), len(digest))


def _row_groups(schema: pa.Schema, outcomes: Iterable[Outcome], kept: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    names = [name for name in schema.names if name not in result_columns([])]
    carried = _Carried(kept) if names else None
    chunks: list[pa.RecordBatch] = []
    size_bytes = 0
    for some in _chunked(outcomes):
        columns: dict[str, Any] = dict(result_columns(some))
        if carried is not None:
            columns |= carried.take(len(some))
        chunks.append(pa.RecordBatch.from_arrays([_array(columns[f.name], f.type) for f in schema], schema=schema))
        size_bytes += chunks[-1].nbytes
        if size_bytes >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(chunks)
            chunks, size_bytes = [], 0
    if chunks:
        yield pa.Table.from_batches(chunks)


def _chunked(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Yield up to ROWS_PER_CHUNK outcomes at a time, fewer where their texts are long."""
    some: list[Outcome] = []
    size_bytes = 0
    for outcome in outcomes:
        some.append(outcome)
        size_bytes += len(outcome.text or "")
        if len(some) >= ROWS_PER_CHUNK or size_bytes >= ROW_GROUP_BYTES // 4:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some


class _Carried:
    """Deals out the spooled columns in pieces of the asked length."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int) -> dict[str, pa.Array]:
        pieces: list[pa.RecordBatch] = []
        while rows:
            batch = self._rest if self._rest is not None else next(self._batches)
            pieces.append(batch.slice(0, rows))
            self._rest = batch.slice(rows) if batch.num_rows > rows else None
            rows -= pieces[-1].num_rows
        table = pa.Table.from_batches(pieces).combine_chunks()
        return {name: table.column(name).chunk(0) for name in table.column_names}


def _array(values: Sequence[object] | pa.Array, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _sign(path: Path) -> None:
    with path.open("r+b") as file:
        place = _place(file, _NO_DIGEST)
        digest = _digest(file, place, len(_NO_DIGEST))
        file.seek(place)
        file.write(digest.encode())
        file.flush()
        os.fsync(file.fileno())


def _digest(file: BinaryIO, place: int, length: int) -> str:
    """Hash the file with `length` bytes at `place` read as zeros."""
    digest = hashlib.sha256()
    file.seek(0)
    left = place
    while left:
        piece = file.read(min(left, 1 << 20))
        digest.update(piece)
        left -= len(piece)
    digest.update(_NO_DIGEST[:length].encode())
    file.seek(place + length)
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _place(file: BinaryIO, digest: str) -> int:
    """Return where the digest stands in the footer [bytes from the start]."""
    file.seek(-8, os.SEEK_END)
    footer_bytes = int.from_bytes(file.read(4), "little") + 8
    start = file.seek(-footer_bytes, os.SEEK_END)
    place = file.read().rfind(b'"digest": "' + digest.encode())
    if place < 0:
        raise ValueError("its footer holds no digest")
    return start + place + len(b'"digest": "')


def _short(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
