"""Parquet files of other writers read like pyarrow's; damaged ones are refused by name and never end the process."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.cells import rows_of
from batchrun.errors import InputError
from batchrun.storage.source import scan
from tests.cli.desk import EMULATED, JOB, lay

ROWS = 2_500
AT = datetime(1970, 1, 1)  # noqa: DTZ001 - Parquet's times without a zone
TEXTS = [f"row {row % 9} ü" for row in range(ROWS)]


def cells(path: Path, columns: list[str] | None = None) -> list[Any]:
    """Return the rows of an input file or folder, each as its cells."""
    source = scan([str(path)], path.parent)
    batches = source.read(columns or source.schema.names, 0, source.rows)
    return [row for batch in batches for row in rows_of(batch.batch)]


# Other writers


@pytest.mark.parametrize(
    "options",
    [
        "compression snappy", "compression zstd", "compression gzip", "compression lz4_raw", "compression brotli",
        "compression zstd, parquet_version v2", "compression uncompressed, row_group_size 2048",
    ],
)  # fmt: skip
def test_what_duckdb_writes_is_read(tmp_path: Path, options: str) -> None:
    duckdb.sql(
        f"""copy (select range as id, 'row ' || (range % 9) || ' ü' as text, range::decimal(18,3) as d, [range] as l,
        {{'a': range, 'b': ['x']}} as s, map {{'k': range}} as m, make_timestamp(range) as at, null as nothing,
        'a'::enum('a', 'b') as e, range::uint64 as u from range({ROWS})) to '{tmp_path}/d.parquet'
        (format parquet, {options})"""
    )
    rows = cells(tmp_path / "d.parquet")

    assert [row["text"] for row in rows] == TEXTS
    assert rows[7] == {
        "id": 7, "text": "row 7 ü", "d": Decimal("7.000"), "l": [7], "s": {"a": 7, "b": ["x"]}, "m": [("k", 7)],
        "at": AT.replace(microsecond=7), "nothing": None, "e": "a", "u": 7,
    }  # fmt: skip


@pytest.mark.parametrize("compression", ["zstd", "lz4", "snappy", "gzip", "brotli", "uncompressed"])
def test_what_polars_writes_is_read(tmp_path: Path, compression: Any) -> None:
    columns = {
        "text": TEXTS,  # a string view inside
        "c": pl.Series(["x", "y"] * (ROWS // 2), dtype=pl.Categorical),
        "e": pl.Series(["a"] * ROWS, dtype=pl.Enum(["a"])),
        "l": [[row] for row in range(ROWS)],
        "s": [{"a": str(row)} for row in range(ROWS)],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "p.parquet", compression=compression, row_group_size=700)
    rows = cells(tmp_path / "p.parquet")

    assert [row["text"] for row in rows] == TEXTS
    assert rows[5] == {"text": "row 5 ü", "c": "y", "e": "a", "l": [5], "s": {"a": "5"}}


@pytest.mark.parametrize(
    "options", [{}, {"times": "int96"}, {"compression": "GZIP"}, {"row_group_offsets": list(range(0, ROWS, 10))}]
)
def test_what_fastparquet_writes_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    table = {"text": TEXTS, "c": pd.Categorical(["x", "y"] * (ROWS // 2)), "at": [AT] * ROWS, "n": range(ROWS)}
    fastparquet.write(str(tmp_path / "f.parquet"), pd.DataFrame(table), object_encoding={"text": "utf8"}, **options)
    rows = cells(tmp_path / "f.parquet", ["text", "c", "n"])

    assert [row["text"] for row in rows] == TEXTS
    assert rows[5] == {"text": "row 5 ü", "c": "y", "n": 5}


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "binary_view", "dictionary", "decimal"])
def test_every_kind_of_column_comes_out_as_its_values(tmp_path: Path, kind: str) -> None:
    plain = pa.array(["a", None, "ü"])
    made: dict[str, Callable[[], pa.Array]] = {
        "large_string": lambda: plain.cast(pa.large_string()),
        "string_view": lambda: pa.array(["a", None, "ü"], pa.string_view()),
        "binary_view": lambda: pa.array([b"a", None, "ü".encode()], pa.binary_view()),
        "dictionary": plain.dictionary_encode,
        "decimal": lambda: pa.array([Decimal("1.5"), None, Decimal("-0.1")], pa.decimal256(60, 1)),
    }
    column = made.get(kind, lambda: plain)()
    pq.write_table(pa.table({"v": column}), tmp_path / "k.parquet")

    assert [row["v"] for row in cells(tmp_path / "k.parquet")] == column.to_pylist()


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False, "column_encoding": {"t": "DELTA_LENGTH_BYTE_ARRAY"}},
        {"data_page_version": "2.0", "compression": "brotli"},
        {"row_group_size": 1},
        {"data_page_size": 1},
        {"store_schema": False, "compression": "none", "use_byte_stream_split": False},
    ],
)
def test_every_encoding_reads_alike(tmp_path: Path, options: dict[str, Any]) -> None:
    texts = TEXTS[:1_000]
    pq.write_table(pa.table({"t": texts}), tmp_path / "e.parquet", **options)

    assert [row["t"] for row in cells(tmp_path / "e.parquet")] == texts


def test_empty_row_groups_between_others_hold_no_rows(tmp_path: Path) -> None:
    schema = pa.schema([("t", pa.string())])
    with pq.ParquetWriter(tmp_path / "g.parquet", schema) as writer:
        for texts in ([], ["a"], [], [], ["b", "c"], []):
            writer.write_table(pa.table({"t": texts}, schema=schema))

    assert [row["t"] for row in cells(tmp_path / "g.parquet")] == ["a", "b", "c"]


def test_an_input_of_no_rows_is_a_finished_job(tmp_path: Path) -> None:
    desk = lay(tmp_path, [], JOB + EMULATED)
    result = desk.on_job("run", "--quiet")

    assert result.exit_code == 0, result.output
    assert desk.rows() == []


# Damage


def test_damaged_files_are_refused_by_name_and_never_end_the_process() -> None:
    command = [sys.executable, "-m", "tests.hostile.damaged_parquet", "1300", "1600"]  # 1427 once ended the process
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stderr[-3_000:]
    ends = json.loads(ended.stdout)
    assert ends.keys() == {"read", "refused"}
    assert ends["refused"] > 150  # most damage shows; a flipped byte of an unprotected text cannot


def test_a_page_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    options = {"write_page_checksum": True, "use_dictionary": False, "compression": "none"}
    pq.write_table(pa.table({"t": ["the same text"] * 5}), path, **options)
    content = bytearray(path.read_bytes())
    page_stop = pq.read_metadata(path).row_group(0).column(0).total_compressed_size + 4
    content[page_stop - 1] ^= 1  # the last letter of the last text
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"c\.parquet: .*CRC"):
        cells(path)


def test_a_footer_that_promises_other_rows_than_its_row_groups_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"t": [str(row) for row in range(100)]}), path, row_group_size=50, store_schema=False)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    # The first field of the footer that holds 100 (zigzag 200) is num_rows; Parquet's Thrift, FileMetaData field 3.
    at = content.index(bytes([0x16, 200, 1]), footer)
    path.write_bytes(content[:at] + bytes([0x16, 201, 1]) + content[at + 3 :])

    with pytest.raises(InputError, match=r"n\.parquet: its footer says -101 rows, its row groups have 100"):
        scan([str(path)], tmp_path)


def test_a_page_that_is_broken_stops_a_run_with_exit_2_and_keeps_what_was_paid(tmp_path: Path) -> None:
    desk = lay(tmp_path, [f"fish {row} [[output_tokens=2]]" for row in range(6)], JOB + EMULATED)
    path = tmp_path / "rows.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=3, compression="none", use_dictionary=False)
    about = pq.read_metadata(path).row_group(1).column(1)
    content = bytearray(path.read_bytes())
    content[about.data_page_offset : about.data_page_offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    result = desk.on_job("run", "--quiet")

    assert result.exit_code == 2, result.output
    assert "rows.parquet" in result.output
    assert "Traceback" not in result.output
