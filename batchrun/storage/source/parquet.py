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
        groups = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
    if min(groups, default=0) < 0 or sum(groups) != about.num_rows:
        raise InputError(f"{file}: its footer says {about.num_rows} rows, its row groups have {sum(groups)}")
    digest = hashlib.sha256(str(size_bytes).encode() + b"\n" + footer).hexdigest()
    return Facts(rows=about.num_rows, digest=digest, schema=schema)


def batches(file: InputFile, columns: Sequence[str], first_row: int, stop_row: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows `first_row` to `stop_row` of the file, with at least `columns`.

    A row group outside is not touched; one that holds `first_row` is decoded from its start. No read-ahead: memory
    is a page of each column, compressed and plain, and one batch.
    """
    # A memory map would be counted as the process's own memory, up to the file's size (measured: 700 MB for 34).
    options = {"pre_buffer": False, "buffer_size": READ_BYTES, "page_checksum_verification": True}
    with naming(file), pq.ParquetFile(file.for_pyarrow(), **options) as opened:
        leaves = _leaves(opened, columns)
        group_stop = 0
        for group in range(opened.num_row_groups):
            about = opened.metadata.row_group(group)
            group_first, group_stop = group_stop, group_stop + about.num_rows
            skip = max(0, first_row - group_first)
            rows = min(stop_row, group_stop) - group_first - skip
            if rows <= 0:
                continue
            chosen = {"row_groups": [group], "columns": columns, "use_threads": False}
            # pyarrow asks a damaged footer about a column without a net, and the process is gone; a decoder has one.
            next(opened.iter_batches(batch_size=1, **chosen), None)
            decoded = opened.iter_batches(batch_size=_rows_at_a_time(about, leaves), **chosen)
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


def _leaves(file: pq.ParquetFile, columns: Sequence[str]) -> list[int]:
    """Return which of the file's leaf columns `columns` are made of."""
    paths = [file.schema.column(index).path for index in range(file.metadata.num_columns)]
    return [
        index
        for index, path in enumerate(paths)
        if any(path == name or path.startswith(f"{name}.") for name in columns)
    ]


def _rows_at_a_time(group: pq.RowGroupMetaData, leaves: Sequence[int]) -> int:
    """Return how many rows to decode at once, judged by the plain size of the columns that are used."""
    used = [group.column(index) for index in leaves]
    rows = rows_per_batch(sum(leaf.total_uncompressed_size for leaf in used), group.num_rows)
    dictionary = any(leaf.has_dictionary_page for leaf in used)
    return min(rows, ROWS_AT_A_TIME_OF_DICTIONARY) if dictionary else rows
