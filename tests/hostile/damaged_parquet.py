"""Reads Parquet files with flipped, lost and foreign bytes: `python -m tests.hostile.damaged_parquet FIRST STOP`.

In a process of its own, since what is looked for may end the process. Prints how many files were read whole and how
many were refused; each seed is one file.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.cells import rows_of
from batchrun.errors import InputError
from batchrun.storage.source import scan

ROWS = 400


def whole_files() -> Iterator[bytes]:
    """Yield files of all compressions, page versions and encodings that pyarrow writes."""
    plain = pa.table({"id": range(ROWS), "text": [f"text {row % 7} " * 3 for row in range(ROWS)]})
    nested = [("l", [[row, row] for row in range(ROWS)]), ("s", [{"a": row} for row in range(ROWS)])]
    table = plain
    for name, values in nested:
        table = table.append_column(name, pa.array(values))
    for compression in ("none", "snappy", "zstd", "gzip", "brotli", "lz4"):
        for version in ("1.0", "2.0"):
            yield _written(table, compression=compression, data_page_version=version, write_page_index=True)
    for ids, texts in (("DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY"), ("BYTE_STREAM_SPLIT", "DELTA_LENGTH_BYTE_ARRAY")):
        yield _written(plain, use_dictionary=False, column_encoding={"id": ids, "text": texts}, compression="none")


def _written(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=100, **options)
    return bytes(sink.getvalue().to_pybytes())


def damaged(whole: bytes, chance: Random) -> bytes:
    """Return a file with a few bytes changed, in its footer or its pages, or cut off."""
    content = bytearray(whole)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    kind = chance.choice(["footer", "footer", "pages", "tail", "cut", "splice"])
    first, stop = {"footer": (footer, len(content) - 8), "tail": (len(content) - 8, len(content))}.get(
        kind, (4, len(content) if kind == "cut" else footer)
    )
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(first, stop)
        if kind == "cut":
            return bytes(content[:at])
        if kind == "splice":
            content[at : at + 9] = chance.randbytes(9)
        else:
            content[at] = chance.choice([content[at] ^ 1 << chance.randrange(8), 0, 255, chance.randrange(256)])
    return bytes(content)


def read(path: Path, columns: list[str] | None) -> int:
    """Read all rows of a file; return how many there are."""
    source = scan([str(path)], path.parent)
    rows = 0
    for batch in source.read(columns or source.schema.names, 0, source.rows):
        rows += sum(1 for _ in rows_of(batch.batch))
    assert rows == source.rows, f"{rows} of {source.rows} rows"
    return rows


def main(first: int, stop: int) -> None:
    """Read the files of the seeds `first` to `stop`."""
    wholes = list(whole_files())
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.parquet"
        for seed in range(first, stop):
            sys.stderr.write(f"{seed}\n")  # the last one is named where the process ends
            chance = Random(seed)
            path.write_bytes(damaged(wholes[seed % len(wholes)], chance))
            try:
                read(path, ["text"] if seed % 2 else None)
                ends["read"] += 1
            except InputError as error:
                ends["refused" if str(path) in str(error) else f"refused without a name: {error}"] += 1
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
