"""The delta sink."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import Delta
from batchrun.sinks.conformance import Parts, SinkConformance
from batchrun.sinks.conformance.parts import RUN, every_type
from batchrun.sinks.conformance.place import deliver, texts, versions
from batchrun.sinks.delta import EMULATED, OWNER, DeltaSink


@dataclass(frozen=True)
class DeltaPlace:
    """A Delta Lake table in a folder."""

    path: Path

    def sink(self) -> DeltaSink:
        return DeltaSink(Delta(type="delta", path=str(self.path)))

    def rows(self) -> list[dict[str, Any]]:
        try:
            table = DeltaTable(self.path)
        except TableNotFoundError:
            return []
        rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
        return rows


@pytest.fixture
def place(tmp_path: Path) -> DeltaPlace:
    return DeltaPlace(tmp_path / "table")


class TestConformance(SinkConformance):
    """Takes the fixture of the module."""


def test_polars_and_duckdb_read_the_table(place: DeltaPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 2)
    deliver(place, parts.all())
    parts.write(1, "two")
    deliver(place, parts.all()[1:])

    frame = pl.read_delta(str(place.path)).sort("row")
    assert frame["text"].to_list() == [f"{'one' if row < 10 else 'two'} {row}" for row in range(20)]
    assert frame.schema["finished_at"] == pl.Datetime("us", "UTC")
    dataset = DeltaTable(place.path).to_pyarrow_dataset()  # DuckDB's own reader of Delta would be downloaded
    with duckdb.connect() as connection:
        found = connection.execute("SELECT count(*), sum(row) FROM dataset").fetchall()
    assert (found, dataset.count_rows()) == ([(20, 190)], 20)


def test_types_that_delta_lacks_become_wider_ones(place: DeltaPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=every_type(10))
    deliver(place, parts.all())
    row = min(place.rows(), key=lambda row: row["row"])
    kinds = {field.name: str(field.type) for field in DeltaTable(place.path).schema().fields}

    assert row["uint64"] == Decimal(2**64 - 1)
    assert row["decimal"] == Decimal("-1234567.8900")
    assert row["time"] == "23:59:59.000005"
    assert row["moment"] == datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert row["naive"] == datetime(2026, 2, 28, 23, 59, 59)  # noqa: DTZ001 - without a time zone
    assert row["duration"] == 1.5
    assert row["struct"] == {"a b": [1.5], "at": None}
    assert row["map"] == [("k", 1)]
    assert kinds["int8"] == 'PrimitiveType("byte")'
    assert kinds["few"] == 'PrimitiveType("string")'


def test_the_log_keeps_one_transaction_a_part_however_often_it_is_replaced(place: DeltaPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 3)
    deliver(place, parts.all())
    for time in range(4):
        parts.write(1, f"time {time}")
        deliver(place, parts.all()[1:2])
    table = DeltaTable(place.path)
    table.create_checkpoint()
    (checkpoint,) = (place.path / "_delta_log").glob("*.checkpoint.parquet")
    kept = [one for one in pq.read_table(checkpoint, columns=["txn"])["txn"].to_pylist() if one is not None]

    assert sorted(one["appId"] for one in kept) == [f"batchrun/{RUN}/{number}" for number in range(3)]
    assert versions(place, parts.all()) == {part.number: part.version for part in parts.all()}
    assert len(table.file_uris()) == 3


def test_rows_and_transaction_go_in_one_commit(place: DeltaPlace, tmp_path: Path) -> None:
    deliver(place, Parts.made(tmp_path, 1).all())
    log = sorted((place.path / "_delta_log").glob("*.json"))
    actions = [set(json.loads(line)) for line in log[-1].read_text().splitlines()]

    assert len(log) == 2  # the table, the part
    assert {"add"} in actions
    assert {"txn"} in actions


def test_a_table_that_its_owner_compacts_can_still_be_replaced_in(place: DeltaPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 3)
    deliver(place, parts.all())
    DeltaTable(place.path).optimize.compact()
    parts.write(1, "two")
    new = parts.all()
    deliver(place, new[1:2])

    assert texts(place) == {row: f"{'two' if 10 <= row < 20 else 'one'} {row}" for row in range(30)}
    assert versions(place, new) == {part.number: part.version for part in new}


def test_what_is_held_is_not_forgotten_where_transactions_expire(place: DeltaPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 2).all()
    deliver(place, parts)
    DeltaTable(place.path).alter.set_table_properties({"delta.setTransactionRetentionDuration": "interval 0 seconds"})

    assert versions(place, parts) == {part.number: part.version for part in parts}


def test_a_table_of_others_is_refused(place: DeltaPlace) -> None:
    write_deltalake(place.path, pa.table({"row": [1]}))

    with pytest.raises(SinkError, match="a table that no run delivered"):
        place.sink().versions(RUN, [0])


def test_the_table_says_whose_it_is_and_that_answers_are_an_emulators(place: DeltaPlace, tmp_path: Path) -> None:
    deliver(place, Parts.made(tmp_path, 1).all())

    assert DeltaTable(place.path).metadata().configuration == {OWNER: RUN, EMULATED: "true"}


def test_a_folder_that_cannot_be_written_says_so(place: DeltaPlace, tmp_path: Path) -> None:
    place.path.write_text("no folder")

    with pytest.raises(Exception, match=str(place.path.name)):
        deliver(place, Parts.made(tmp_path, 1).all())
