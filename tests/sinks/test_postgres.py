"""The postgres sink, against a server."""

import socket
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.rows import dict_row

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import Postgres
from batchrun.sinks.conformance import Parts, SinkConformance
from batchrun.sinks.conformance.parts import FINISHED_AT, RUN, every_type
from batchrun.sinks.conformance.place import deliver, texts, versions
from batchrun.sinks.postgres import PostgresSink

numbers = count()


@dataclass(frozen=True)
class PostgresPlace:
    """A table of its own on the tests' server."""

    dsn: str
    table: str

    def sink(self) -> PostgresSink:
        return PostgresSink(Postgres(type="postgres", table=self.table, dsn=self.dsn))

    def rows(self) -> list[dict[str, Any]]:
        if self.one("SELECT to_regclass(%s) IS NULL", self.table):
            return []
        return self.query(f"SELECT * FROM {self.table}")

    def query(self, text: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(text, values).fetchall()

    def one(self, text: str, *values: Any) -> Any:
        """Return the one value that a query has."""
        (row,) = self.query(text, *values)
        (value,) = row.values()
        return value


@pytest.fixture
def place(server: str) -> PostgresPlace:
    return PostgresPlace(server, f"reviews_{next(numbers)}")


class TestConformance(SinkConformance):
    """Takes the fixture of the module."""


def test_columns_have_their_types_and_the_row_is_the_key(place: PostgresPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=every_type(10))
    deliver(place, parts.all())
    kinds = {
        one["column_name"]: one["data_type"]
        for one in place.query(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", place.table
        )
    }
    key = place.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass "
                    "AND contype = 'p'", place.table)  # fmt: skip

    assert key == 'PRIMARY KEY ("row")'
    assert (kinds["row"], kinds["text"], kinds["cost_usd"]) == ("bigint", "text", "double precision")
    assert (kinds["attempts"], kinds["finished_at"]) == ("integer", "timestamp with time zone")
    assert (kinds["uint64"], kinds["bytes"], kinds["duration"]) == ("numeric", "bytea", "interval")
    assert {kinds[name] for name in ("list", "struct", "map")} == {"jsonb"}


def test_cells_arrive_as_what_they_were(place: PostgresPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=every_type(10))
    deliver(place, parts.all())
    row = min(place.rows(), key=lambda row: row["row"])

    assert (row["truth"], row["int8"], row["uint64"], row["float"]) == (True, -7, 2**64 - 1, 0.5)
    assert row["decimal"] == Decimal("-1234567.8900")
    assert (bytes(row["bytes"]), row["date"], row["time"]) == (b"\x00\xff", date(2026, 2, 28), time(23, 59, 59, 5))
    assert row["moment"] == datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert row["duration"] == timedelta(seconds=1.5)
    assert row["struct"] == {"a b": [1.5], "at": None}
    assert row["map"] == [{"key": "k", "value": 1}]
    assert row["finished_at"] == FINISHED_AT


def test_a_nul_becomes_a_replacement_character_in_text_and_in_json(place: PostgresPlace, tmp_path: Path) -> None:
    texts = ["a\0b", "\0\0", "\\u0000", "\\\0", *["plain"] * 6]
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=pa.table({"said": texts, "turns": [[text] for text in texts]}))
    deliver(place, parts.all())
    rows = sorted(place.rows(), key=lambda row: row["row"])
    kept = [text.replace("\0", "\ufffd") for text in texts]

    assert [row["said"] for row in rows] == kept
    assert [row["turns"] for row in rows] == [[text] for text in kept]


def test_floats_keep_nan_and_infinity(place: PostgresPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=pa.table({"score": [float("nan"), float("inf"), -float("inf"), *[1e300] * 7]}))
    deliver(place, parts.all())
    scores = [str(row["score"]) for row in sorted(place.rows(), key=lambda row: row["row"])]

    assert scores == ["nan", "inf", "-inf", *["1e+300"] * 7]


def test_columns_that_others_have_added_keep_what_they_hold(place: PostgresPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 1)
    deliver(place, parts.all())
    with psycopg.connect(place.dsn) as connection:
        connection.execute(f"ALTER TABLE {place.table} ADD COLUMN checked text")
        connection.execute(f"UPDATE {place.table} SET checked = 'by Ann' WHERE row = 3")
    parts.write(0, "two")
    deliver(place, parts.all())
    checked = {row["row"]: row["checked"] for row in place.rows()}

    assert texts(place)[3] == "two 3"
    assert checked == {row: "by Ann" if row == 3 else None for row in range(10)}


def test_a_table_may_stand_in_a_schema_of_its_own(server: str, tmp_path: Path) -> None:
    place = PostgresPlace(server, f"team_{next(numbers)}.reviews")
    parts = Parts.made(tmp_path, 1).all()
    deliver(place, parts)

    assert len(place.rows()) == 10
    assert versions(place, parts) == {0: parts[0].version}


def test_the_ledger_says_what_came_when(place: PostgresPlace, tmp_path: Path) -> None:
    part = Parts.made(tmp_path, 1).all()[0]
    deliver(place, [part])
    (line,) = place.query(f"SELECT * FROM {place.table}_batchrun_parts")
    delivered_at = line.pop("delivered_at")

    assert line == {
        "part": 0, "run_id": RUN, "version": part.version, "first_row": 0, "last_row": 9, "emulated": True,
    }  # fmt: skip
    assert abs(datetime.now(UTC) - delivered_at) < timedelta(minutes=5)


def test_a_table_of_others_is_refused_and_left_alone(place: PostgresPlace) -> None:
    with psycopg.connect(place.dsn) as connection:
        connection.execute(f"CREATE TABLE {place.table} (row bigint)")

    with closing(place.sink()) as sink, pytest.raises(SinkError, match="no run delivered it"):
        sink.versions(RUN, [0])


@pytest.mark.parametrize("name", ["é" * 32, "x" * 64])
def test_a_column_name_that_postgres_would_cut_is_refused(place: PostgresPlace, tmp_path: Path, name: str) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=pa.table({name: ["x"] * 10}))

    with pytest.raises(SinkError, match="has 64 bytes"):
        deliver(place, parts.all())
    assert place.rows() == []


def test_column_names_of_all_kinds_are_quoted(place: PostgresPlace, tmp_path: Path) -> None:
    names = ['a "b" c', "select", "100 %", "%s", "{}", "Größe", "; DROP TABLE x"]
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=pa.table({name: ["x"] * 10 for name in names}))
    deliver(place, parts.all())

    assert {row[name] for row in place.rows() for name in names} == {"x"}


def test_the_connection_string_may_stand_in_a_variable(
    place: PostgresPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEWS_DB", place.dsn)
    sink = PostgresSink(Postgres(type="postgres", table=place.table, dsn_env="REVIEWS_DB"))

    assert sink.versions(RUN, [0]) == {}
    sink.close()


def test_libpqs_own_variables_are_enough(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(place.dsn)
    for variable, key in (("PGHOST", "host"), ("PGUSER", "user"), ("PGDATABASE", "dbname")):
        monkeypatch.setenv(variable, str(parts[key]))
    sink = PostgresSink(Postgres(type="postgres", table=place.table))

    assert sink.versions(RUN, [0]) == {}
    sink.close()


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "the variable REVIEWS_DB is not set"), ("my secret word", "holds no connection string")],
)
def test_a_variable_that_is_no_use_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    if value is not None:
        monkeypatch.setenv("REVIEWS_DB", value)
    sink = PostgresSink(Postgres(type="postgres", table="reviews", dsn_env="REVIEWS_DB"))

    with pytest.raises(SinkError, match=said) as caught:
        sink.versions(RUN, [0])
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_error_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # nobody listens once it is closed
    monkeypatch.setenv("REVIEWS_DB", f"postgresql://ann:hidden@127.0.0.1:{port}/reviews")
    sink = PostgresSink(Postgres(type="postgres", table="reviews", dsn_env="REVIEWS_DB"))

    with pytest.raises(psycopg.OperationalError, match="refused") as caught:
        sink.versions(RUN, [0])
    assert "hidden" not in str(caught.value)
    sink.close()
