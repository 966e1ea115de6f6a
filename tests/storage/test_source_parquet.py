"""Parquet: row groups, batches, and files that are none."""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.storage.source import scan

MIB = 1 << 20


def test_batches_of_wide_rows_are_small(tmp_path: Path) -> None:
    texts = [f"{row:06}" + "x" * 20_000 for row in range(300)]  # 6 MB in one row group
    pq.write_table(pa.table({"t": texts}), tmp_path / "a.parquet", use_dictionary=False)
    batches = list(scan(["a.parquet"], tmp_path).read(["t"], 0, 300))

    assert max(batch.batch.nbytes for batch in batches) <= 2 * MIB
    assert [text for batch in batches for text in batch.batch.column(0).to_pylist()] == texts


def test_a_dictionary_does_not_hide_how_wide_the_rows_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["x" * 20_000] * 1000}), tmp_path / "a.parquet")  # 20 MB, stored once
    batch = next(scan(["a.parquet"], tmp_path).read(["t"], 0, 1000))

    assert batch.batch.nbytes <= 2 * MIB


def test_a_row_group_before_the_first_row_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": [f"row {row}" for row in range(6)]}), path, row_group_size=3, compression="none")
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    source = scan(["a.parquet"], tmp_path)

    assert [b.batch.column(0).to_pylist() for b in source.read(["t"], 3, 6)] == [["row 3", "row 4", "row 5"]]
    with pytest.raises(InputError, match=r"a\.parquet: "):
        list(source.read(["t"], 0, 6))


def test_a_column_that_is_not_used_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"broken": ["x", "y"], "t": ["a", "b"]}), path, compression="none")
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    content[4 : 4 + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)

    assert [b.batch.column(0).to_pylist() for b in scan(["a.parquet"], tmp_path).read(["t"], 0, 2)] == [["a", "b"]]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_compressions_read_alike(tmp_path: Path, compression: str) -> None:
    pq.write_table(pa.table({"t": ["a", None, "ü"]}), tmp_path / "a.parquet", compression=compression)

    batch = next(scan(["a.parquet"], tmp_path).read(["t"], 0, 3))
    assert batch.batch.column(0).to_pylist() == ["a", None, "ü"]


def test_files_of_duckdb_and_polars_fit_together(tmp_path: Path) -> None:
    duckdb.sql(f"copy (select 'd' as t, 1 as n) to '{tmp_path}/d.parquet' (format parquet)")
    pl.DataFrame({"t": ["p"], "n": [2]}).write_parquet(tmp_path / "p.parquet")
    source = scan(["*.parquet"], tmp_path)

    rows = [row for batch in source.read(["n", "t"], 0, 2) for row in batch.batch.to_pylist()]
    assert rows == [{"n": 1, "t": "d"}, {"n": 2, "t": "p"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes that do not end with PAR1"),
        (b"PAR1", "4 bytes that do not end with PAR1"),
        (b"a,b\n1,2\n3,4\n", "12 bytes that do not end with PAR1: not a Parquet file, or one that was cut off"),
        (b"PAR1" + b"\x00" * 4 + b"\xff\xff\x00\x00PAR1", "footer should have 65543 bytes, the file has 16"),
        (b"PAR1" + b"\x99" * 8 + b"\x08\x00\x00\x00PAR1", "a.parquet: "),
        (b"PAR1" + b"\x00" * 8 + b"\x08\x00\x00\x00PARE", "encrypted"),
    ],
)
def test_what_is_no_parquet_file_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.parquet").write_bytes(content)

    with pytest.raises(InputError, match=r"a\.parquet: ") as error:
        scan(["a.parquet"], tmp_path)
    assert words in str(error.value)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["x" * 100]}), path)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InputError, match="cut off"):
        scan(["a.parquet"], tmp_path)
