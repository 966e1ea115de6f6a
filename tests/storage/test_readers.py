"""The folder of parts is a table to every reader, as each would read it by default."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from tests.storage.outputs import Made, failure, make, outcome


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """10 rows in 3 parts; only the last has an error, so the error columns of the others are all null."""
    made = make(tmp_path)
    made.finish()
    made.write(made.ranges[2], [outcome(8), failure(9)])
    return made


ROWS = list(range(10))
ERRORS = [None] * 9 + ["Throttled"]
IDS = [f"id-{row}" for row in ROWS]


def same(rows: list[dict[str, Any]]) -> None:
    """Check the rows that a reader gave."""
    rows.sort(key=lambda row: row["row"])
    assert [row["row"] for row in rows] == ROWS
    assert [row["id"] for row in rows] == IDS
    assert [row["error_code"] for row in rows] == ERRORS
    assert [row["input_tokens"] for row in rows] == [10] * 9 + [None]
    assert {row["finished_at"].isoformat() for row in rows} == {"2026-11-20T08:00:00.250000+00:00"}


def test_pyarrow_reads_the_folder(made: Made) -> None:
    dataset = ds.dataset(made.folder.data)

    assert dataset.schema.equals(made.target.schema)
    same(dataset.to_table().to_pylist())


@pytest.mark.parametrize("name", ["", "*.parquet"])
def test_polars_reads_the_folder_and_the_glob(made: Made, name: str) -> None:
    for table in (pl.read_parquet(made.folder.data / name), pl.scan_parquet(made.folder.data / name).collect()):
        assert table.schema["row"] == pl.Int64
        assert table.schema["error_code"] == pl.String
        assert table.schema["cost_usd"] == pl.Float64
        assert table.schema["finished_at"] == pl.Datetime("ms", "UTC")
        same(table.to_dicts())


def test_duckdb_reads_the_glob(made: Made) -> None:
    with duckdb.connect() as connection:
        relation = connection.sql(f"SELECT * FROM '{made.folder.data}/*.parquet'")
        kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
        assert (kinds["row"], kinds["error_code"], kinds["attempts"]) == ("BIGINT", "VARCHAR", "INTEGER")
        assert kinds["finished_at"] == "TIMESTAMP WITH TIME ZONE"
        same(connection.sql("SET TimeZone = 'UTC'; SELECT * FROM relation").to_arrow_table().to_pylist())
        assert connection.sql(
            f"SELECT max(row) FROM '{made.folder.data}/*.parquet' WHERE status = 'ok'"
        ).fetchall() == [(8,)]


def test_pandas_reads_the_folder(made: Made) -> None:
    table = pd.read_parquet(made.folder.data)

    assert table["row"].dtype == "int64"
    assert table["finished_at"].dtype == "datetime64[ms, UTC]"
    table["error_code"] = table["error_code"].astype(object).where(table["error_code"].notna(), None)
    table["input_tokens"] = table["input_tokens"].astype(object).where(table["input_tokens"].notna(), None)
    same(table.to_dict("records"))


def test_an_input_without_rows_is_an_empty_table_to_all_of_them(tmp_path: Path) -> None:
    made = make(tmp_path, rows=0)
    made.open().close()
    data = made.folder.data

    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT count(*) FROM '{data}/*.parquet'").fetchall() == [(0,)]
    for names in (
        pl.read_parquet(data).columns,
        list(pd.read_parquet(data).columns),
        ds.dataset(data).to_table().column_names,
    ):
        assert names == made.target.schema.names
