"""Parquet: the footer says what there is; rows are decoded a row group at a time, from the used columns only."""

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.storage.source.batches import cut, pieces, rows_per_batch
from batchrun.storage.source.column_types import plain_schema
from batchrun.storage.source.facts import Facts, naming
from batchrun.storage.source.input_file import InputFile

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"
TAIL_BYTES = 8  # the footer's length (4 bytes, little-endian) and the magic; Parquet format, file layout
READ_BYTES = 1 << 18  # measured: 64 KiB to 1 MiB make no difference to memory; pages are read whole anyway
LARGE_GROUP_BYTES = 1 << 24
ROWS_AT_A_TIME_OF_DICTIONARY = 64  # a dictionary hides how wide its values are: 64 rows of 200 KB are 13 MB


def facts(file: InputFile) -> Facts:
    """Return rows, columns and digest from the footer; no row is read."""
    size_bytes, footer = _footer(file)
    with naming(file):
        about = pq.read_metadata(pa.BufferReader(MAGIC + footer))
        schema = plain_schema(about.schema.to_arrow_schema())
    digest = hashlib.sha256(str(size_bytes).encode() + b"\n" + footer).hexdigest()
    return Facts(rows=about.num_rows, digest=digest, schema=schema)


def batches(file: InputFile, columns: Sequence[str], first_row: int, stop_row: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of the file, with at least `columns`.

    A row group outside is not touched; one that holds `first_row` is decoded from its start. No read-ahead: memory
    is a page of each column, compressed and plain, and one batch.
    """
    # A memory map would be counted as the process's own memory, up to the file's size (measured: 700 MB for 34).
    with naming(file), pq.ParquetFile(file.for_pyarrow(), pre_buffer=False, buffer_size=READ_BYTES) as opened:
        group_stop = 0
        for group in range(opened.num_row_groups):
            about = opened.metadata.row_group(group)
            group_first, group_stop = group_stop, group_stop + about.num_rows
            skip = max(0, first_row - group_first)
            rows = min(stop_row, group_stop) - group_first - skip
            if rows <= 0:
                continue
            decoded = opened.iter_batches(
                batch_size=_rows_at_a_time(about, columns), row_groups=[group], columns=columns, use_threads=False
            )
            for batch in cut(decoded, skip, rows):
                yield from pieces(batch)
            del decoded
            if about.total_byte_size > LARGE_GROUP_BYTES:
                pa.default_memory_pool().release_unused()  # else the next large page comes on top of the last


def _footer(file: InputFile) -> tuple[int, bytes]:
    """Return the file's size [bytes] and its last bytes: the metadata, their length and the magic."""
    with naming(file), file.open() as opened:
        size_bytes = opened.seek(0, 2)
        opened.seek(max(0, size_bytes - READ_BYTES))  # most footers come with the first read: one request to a store
        tail = opened.read()
        if tail.endswith(ENCRYPTED_MAGIC):
            raise InputError(f"{file}: the Parquet file is encrypted, which is not supported")
        if size_bytes < TAIL_BYTES + len(MAGIC) or not tail.endswith(MAGIC):
            raise InputError(
                f"{file}: {size_bytes} bytes that do not end with {MAGIC.decode()}: "
                f"not a Parquet file, or one that was cut off while it was written"
            )
        footer_bytes = int.from_bytes(tail[-TAIL_BYTES:-4], "little") + TAIL_BYTES
        if footer_bytes + len(MAGIC) > size_bytes:
            raise InputError(f"{file}: its Parquet footer should have {footer_bytes} bytes, the file has {size_bytes}")
        if footer_bytes > len(tail):
            opened.seek(size_bytes - footer_bytes)
            tail = opened.read()
        return size_bytes, tail[-footer_bytes:]


def _rows_at_a_time(group: pq.RowGroupMetaData, columns: Sequence[str]) -> int:
    """Return how many rows to decode at once, judged by the plain size of the columns that are used."""
    size_bytes = 0
    has_dictionary = False
    for leaf in (group.column(index) for index in range(group.num_columns)):
        if any(leaf.path_in_schema == name or leaf.path_in_schema.startswith(f"{name}.") for name in columns):
            size_bytes += leaf.total_uncompressed_size
            has_dictionary = has_dictionary or leaf.has_dictionary_page
    rows = rows_per_batch(size_bytes, group.num_rows)
    return min(rows, ROWS_AT_A_TIME_OF_DICTIONARY) if has_dictionary else rows
