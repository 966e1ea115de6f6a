"""The jsonl sink."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from batchrun.errors import SinkError, StorageError
from batchrun.jobspec.sinks import Jsonl
from batchrun.sinks.conformance import Parts, SinkConformance
from batchrun.sinks.conformance.parts import RUN, every_type
from batchrun.sinks.conformance.place import deliver, versions
from batchrun.sinks.jsonl import LEDGER, JsonlSink
from tests.refusal import refusal_of


@dataclass(frozen=True)
class JsonlPlace:
    """A folder of JSON Lines."""

    path: Path
    compression: str = "none"

    def sink(self) -> JsonlSink:
        table = {"type": "jsonl", "path": self.path, "compression": self.compression}
        return JsonlSink(Jsonl.model_validate(table))

    def rows(self) -> list[dict[str, Any]]:
        files = sorted(self.path.glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.fixture
def place(tmp_path: Path) -> JsonlPlace:
    return JsonlPlace(tmp_path / "lines")


class TestConformance(SinkConformance):
    """Takes the fixture of the module."""


def refusal(place: JsonlPlace, run_id: str = RUN) -> str:
    """Return why the sink does not look at its folder."""
    return refusal_of(SinkError, place.sink().versions, run_id, [0])


def test_duckdb_and_polars_read_the_folder(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 2)
    parts.write(2, kept=every_type(10))
    deliver(place, parts.all())

    with duckdb.connect() as connection:
        table = connection.sql(f"SELECT * FROM read_json('{place.path}/*.jsonl', union_by_name = true) ORDER BY row")
        kinds = dict(zip(table.columns, map(str, table.types), strict=True))
        found = table.select("row").fetchall()
    assert [row for (row,) in found] == list(range(30))
    assert (kinds["row"], kinds["cost_usd"], kinds["truth"]) == ("BIGINT", "DOUBLE", "BOOLEAN")
    assert kinds["finished_at"].startswith("TIMESTAMP")
    frame = pl.read_ndjson(place.path / "part-000002.jsonl")
    assert frame["row"].to_list() == list(range(20, 30))
    assert frame["a big number"].to_list() == [2**62 + n if n % 2 == 0 else None for n in range(10)]


def test_cells_are_written_as_documented(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=every_type(10))
    deliver(place, parts.all())
    row = place.rows()[0]

    assert row["finished_at"] == "2026-11-20T08:00:00.250Z"
    assert (row["bytes"], row["fixed"]) == ("AP8=", "AP8=")
    assert row["uint64"] == 2**64 - 1
    assert row["decimal"] == "-1234567.8900"
    assert (row["date"], row["time"]) == ("2026-02-28", "23:59:59.000005")
    assert row["naive"] == "2026-02-28T23:59:59.000000"
    assert row["moment"] == "2026-02-28T23:59:59.000000000Z"
    assert row["duration"] == 1.5
    assert row["list"] == [{"role": "user", "n": None}]
    assert row["map"] == [{"key": "k", "value": 1}]


def test_numbers_that_json_lacks_are_null(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    parts.write(0, kept=pa.table({"score": [float("nan"), float("inf"), -float("inf"), *[0.5] * 7]}))
    deliver(place, parts.all())

    assert [row["score"] for row in place.rows()] == [None, None, None, *[0.5] * 7]


def test_text_that_is_no_utf_8_gets_replacement_characters(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 0)
    bad = pa.array([b"caf\xe9", b"\xed\xa0\x80", *[b"plain"] * 8]).view(pa.string())
    lists = pa.ListArray.from_arrays(pa.array(range(11), pa.int32()), bad)
    parts.write(0, kept=pa.table({"said": bad, "turns": lists}))
    deliver(place, parts.all())

    assert [row["said"] for row in place.rows()][:3] == ["caf\ufffd", "\ufffd\ufffd\ufffd", "plain"]
    assert [row["turns"] for row in place.rows()][:3] == [["caf\ufffd"], ["\ufffd\ufffd\ufffd"], ["plain"]]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_files_may_be_compressed(tmp_path: Path, compression: str) -> None:
    place = JsonlPlace(tmp_path / "lines", compression)
    parts = Parts.made(tmp_path, 2).all()
    deliver(place, parts)
    deliver(place, parts[:1])

    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT row FROM read_json('{place.path}/*.jsonl.*') ORDER BY row").fetchall()
    assert found == [(row,) for row in range(20)]
    assert versions(place, parts) == {part.number: part.version for part in parts}
    assert "compression" in refusal(JsonlPlace(place.path))


def test_a_file_that_was_removed_or_cut_is_lacking(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 3).all()
    deliver(place, parts)
    (place.path / "part-000000.jsonl").unlink()
    cut = place.path / "part-000001.jsonl"
    cut.write_bytes(cut.read_bytes()[:-10])

    assert list(versions(place, parts)) == [2]


def test_a_ledger_line_that_a_kill_has_torn_is_dropped(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 3).all()
    deliver(place, parts[:2])
    ledger = place.path / LEDGER
    ledger.write_bytes(ledger.read_bytes()[:-9])

    assert list(versions(place, parts)) == [0]
    deliver(place, parts[1:])
    assert list(versions(place, parts)) == [0, 1, 2]
    assert len(place.rows()) == 30


def test_a_kill_while_the_ledger_is_begun_is_no_matter(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 1).all()
    place.path.mkdir()
    (place.path / f".{LEDGER}.new").write_text('{"run')
    deliver(place, parts)

    assert list(versions(place, parts)) == [0]


def test_a_folder_with_files_of_others_is_refused(place: JsonlPlace) -> None:
    place.path.mkdir()
    (place.path / "mine.jsonl").write_text("{}\n")

    assert "mine.jsonl" in refusal(place)
    assert "name another folder" in refusal(place)


def test_a_ledger_that_is_none_is_refused(place: JsonlPlace) -> None:
    place.path.mkdir()
    (place.path / LEDGER).write_text("hello\n")

    assert "is no ledger" in refusal(place)


def test_nothing_is_left_of_a_file_that_could_not_be_written(place: JsonlPlace, tmp_path: Path) -> None:
    parts = Parts.made(tmp_path, 1)
    stale = parts.all()
    parts.write(0, "two")
    with pytest.raises(StorageError, match="replaced while"):
        deliver(place, stale)

    assert [path.name for path in place.path.iterdir()] == [LEDGER]


def test_the_folder_says_that_answers_are_an_emulators(place: JsonlPlace, tmp_path: Path) -> None:
    deliver(place, Parts.made(tmp_path, 1).all())
    head = json.loads((place.path / LEDGER).read_text().splitlines()[0])

    assert head == {"run_id": RUN, "emulated": True, "compression": "none"}
