"""The tests that every sink must pass; for plug-ins too.

Subclass `SinkConformance` in a test module, and give it a fixture `place` that returns a new, empty destination as a
`Place`; pytest does the rest:

    class TestMySink(SinkConformance):
        @pytest.fixture
        def place(self, tmp_path):
            return MyPlace(tmp_path / "there")

A `Place` must be picklable, since some of the tests kill a process in the middle of a delivery.
"""

import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import SinkError
from batchrun.records import Totals
from batchrun.sinks.part import Part, PartFolder
from batchrun.sinks.protocol import Sink
from batchrun.storage.part_facts import KEY, PartFacts, sign
from batchrun.storage.ranges import Range
from batchrun.storage.schema import RESULT, ROW

RUN = "0" * 31 + "1"
ROWS_PER_PART = 10
SEEDS = range(5)
PARTS_TO_KILL_IN = 5
LARGE_ROWS = 100_000
MOST_GROWTH_BYTES = 120_000_000  # of memory, for a part of so many rows and 160 MB

# Processes to be killed are forked from one that has imported all this once, and has no threads that a fork would lose.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "batchrun.sinks.jsonl", "batchrun.sinks.delta", "batchrun.sinks.postgres"])


class Place(Protocol):
    """A destination, as its tests see it."""

    def sink(self) -> Sink:
        """Return a new session."""

    def rows(self) -> list[dict[str, Any]]:
        """Read all rows back, by any means but the sink, in any order: at least row, text and the kept columns."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the parts of one run in a folder, each with `ROWS_PER_PART` rows."""

    data: Path
    run_id: str = RUN

    def write(self, number: int, text: str = "one", kept: pa.Table | None = None, rows: int = ROWS_PER_PART) -> None:
        """Write or replace a part whose answers begin with `text`; `kept` are columns carried over."""
        first_row = number * ROWS_PER_PART
        of = Range(number, first_row, first_row + rows)
        numbers = range(of.first_row, of.stop_row)
        given: dict[str, Any] = {
            "row": pa.array(numbers, pa.int64()),
            "status": ["ok"] * rows,
            "text": [f"{text} {row}" for row in numbers],
            "cost_usd": [0.25] * rows,
            "finished_at": pa.array([datetime(2026, 11, 20, 8, tzinfo=UTC)] * rows, pa.timestamp("ms", "UTC")),
        }
        columns = [given.get(field.name, pa.nulls(rows, field.type)) for field in (ROW, *RESULT)]
        table = pa.Table.from_arrays(columns, schema=pa.schema([ROW, *RESULT]))
        for field in kept.schema if kept is not None else ():
            table = table.append_column(field, kept.column(field.name))
        self.write_table(of, table)

    def write_table(self, of: Range, table: pa.Table, rows_per_group: int = 1_000) -> None:
        """Write a part that holds a table as it is."""
        facts = PartFacts(of.number, of.first_row, of.last_row, self.run_id, True, Totals(of.rows))
        beside = self.data / f".{of.part_name}"
        with pq.ParquetWriter(beside, table.schema, write_page_checksum=True) as writer:
            writer.write_table(table, row_group_size=rows_per_group)
            writer.add_key_value_metadata({KEY.decode(): facts.to_json()})
        sign(beside, facts)
        beside.rename(self.data / of.part_name)

    def all(self) -> list[Part]:
        """Return the parts that are there."""
        return list(PartFolder(self.data, self.run_id).parts().values())


class SinkConformance:
    """What every sink must do."""

    def test_what_was_delivered_can_be_read(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 3)
        _deliver(place, parts.all())

        assert _texts(place) == {row: f"one {row}" for row in range(30)}

    def test_a_new_session_tells_what_is_held(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 2).all()
        before = _versions(place, parts)
        _deliver(place, parts[:1])

        assert before == {}
        assert _versions(place, parts) == {0: parts[0].version}

    def test_asking_what_is_held_makes_nothing(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 1).all()
        _versions(place, parts)

        assert place.rows() == []

    def test_parts_may_come_in_any_order(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 3).all()
        _deliver(place, [parts[2], parts[0]])
        _deliver(place, [parts[1]])

        assert sorted(_texts(place)) == list(range(30))
        assert _versions(place, parts) == {part.number: part.version for part in parts}

    def test_a_part_delivered_twice_is_there_once(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 2).all()
        _deliver(place, [*parts, parts[1]])
        _deliver(place, parts)

        assert len(place.rows()) == 20
        assert sorted(_texts(place)) == list(range(20))

    def test_a_part_that_was_replaced_replaces_its_rows(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 3)
        old = parts.all()
        _deliver(place, old)
        parts.write(1, "two")
        new = parts.all()
        held = _versions(place, new)
        _deliver(place, [new[1]])

        assert held == {part.number: part.version for part in old}
        assert _versions(place, new) == {part.number: part.version for part in new}
        assert len(place.rows()) == 30
        assert _texts(place) == {row: f"{'two' if 10 <= row < 20 else 'one'} {row}" for row in range(30)}

    def test_a_part_is_replaced_within_one_session_too(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 1)
        with closing(place.sink()) as sink:
            sink.versions(RUN, [0])
            sink.deliver(parts.all()[0])
            parts.write(0, "two")
            sink.deliver(parts.all()[0])

        assert _texts(place) == {row: f"two {row}" for row in range(10)}

    def test_an_empty_part_is_held_and_has_no_rows(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 0)
        parts.write(0, rows=0)
        empty = parts.all()
        _deliver(place, empty)
        _deliver(place, empty)

        assert _versions(place, empty) == {0: empty[0].version}
        assert place.rows() == []

    def test_the_results_of_another_run_are_left_alone(self, place: Place, tmp_path: Path) -> None:
        _deliver(place, _parts(tmp_path, 2).all())
        other = Parts(tmp_path / "data", "f" * 32)

        refused = False
        with closing(place.sink()) as sink:
            try:
                sink.versions(other.run_id, [0, 1])
            except SinkError as error:
                refused = RUN in str(error)
        assert refused, "versions() of another run must raise SinkError and name the run that is there"
        assert len(place.rows()) == 20

    def test_a_session_can_be_closed_at_any_time(self, place: Place, tmp_path: Path) -> None:
        part = _parts(tmp_path, 1).all()[0]
        place.sink().close()
        sink = place.sink()
        sink.versions(RUN, [0])
        sink.close()
        _deliver(place, [part])

        assert len(place.rows()) == 10

    def test_a_part_that_does_not_read_back_leaves_nothing(self, place: Place, tmp_path: Path) -> None:
        parts = _parts(tmp_path, 2)
        stale = parts.all()
        parts.write(1, "two")
        with closing(place.sink()) as sink:
            sink.versions(RUN, [0, 1])
            sink.deliver(stale[0])
            failed = False
            try:
                sink.deliver(stale[1])
            except Exception:  # noqa: BLE001 - libraries wrap what the reader of a part raises
                failed = True
        assert failed, "the part was replaced under the sink, which must not have taken it"
        assert sorted(_texts(place)) == list(range(10))
        assert _versions(place, stale) == {0: stale[0].version}

    def test_text_of_all_kinds_arrives(self, place: Place, tmp_path: Path) -> None:
        texts = ["", " ", "null", "\\N", "\\.", "a\tb\nc\r\n", 'quote " and \\ back', "naïve 漢字 🎈", "\u2028", "{}"]
        parts = Parts(_folder(tmp_path))
        parts.write(0, kept=pa.table({"said": texts}))
        _deliver(place, parts.all())

        assert {row["row"]: row["said"] for row in place.rows()} == dict(enumerate(texts))

    def test_text_that_is_no_text_does_not_stop_the_rest(self, place: Place, tmp_path: Path) -> None:
        """NUL and bytes that are no UTF-8; what becomes of them is the sink's to say."""
        parts = Parts(_folder(tmp_path))
        cells = [b"a\x00b", b"\xff\xfe", b"\xed\xa0\x80", *[b"plain"] * 7]
        parts.write(0, kept=pa.table({"said": pa.array(cells).view(pa.string())}))
        _deliver(place, parts.all())

        assert [row["said"] for row in sorted(place.rows(), key=lambda row: row["row"])][3:] == ["plain"] * 7

    def test_columns_of_all_types_arrive(self, place: Place, tmp_path: Path) -> None:
        parts = Parts(_folder(tmp_path))
        parts.write(0, kept=every_type(ROWS_PER_PART))
        parts.write(1, kept=every_type(ROWS_PER_PART))
        _deliver(place, parts.all())
        rows = sorted(place.rows(), key=lambda row: int(row["row"]))

        assert [row["row"] for row in rows] == list(range(20))
        assert [row["a big number"] for row in rows] == 2 * [2**62 + n if n % 2 == 0 else None for n in range(10)]
        for name in every_type(1).column_names:
            assert [row[name] is None for row in rows] == [n % 2 == 1 for n in range(20)], name

    def test_a_kill_at_any_moment_loses_and_doubles_nothing(self, place: Place, tmp_path: Path) -> None:
        rows = PARTS_TO_KILL_IN * ROWS_PER_PART
        for seed in SEEDS:
            parts = Parts(_folder(tmp_path), RUN)
            for number in range(PARTS_TO_KILL_IN):
                parts.write(number, f"version {seed}")
            _kill_a_delivery(place, parts, Random(seed))

            found = place.rows()
            of_part = [
                sum(row["row"] // ROWS_PER_PART == number for row in found) for number in range(PARTS_TO_KILL_IN)
            ]
            assert set(of_part) <= {0, ROWS_PER_PART}, f"seed {seed}: rows by part {of_part}: a part is there in pieces"
            mixed = {number for number in range(PARTS_TO_KILL_IN) if len(_beginnings(found, number)) > 1}
            assert not mixed, f"seed {seed}: parts {mixed} are of two versions at once"
            _deliver_outstanding(place, parts.all())
            assert len(place.rows()) == rows, f"seed {seed}"
            assert _texts(place) == {row: f"version {seed} {row}" for row in range(rows)}, f"seed {seed}"

    def test_a_large_part_takes_little_memory(self, place: Place, tmp_path: Path) -> None:
        grown_bytes, held = _in_a_process(_deliver_large, place, _folder(tmp_path), LARGE_ROWS)

        assert held == [0]
        assert grown_bytes < MOST_GROWTH_BYTES


def every_type(rows: int) -> pa.Table:
    """Return a column of each type that a carried-over column may have; every other cell is null."""
    values: dict[str, tuple[pa.DataType, Any]] = {
        "truth": (pa.bool_(), True),
        "int8": (pa.int8(), -7),
        "uint64": (pa.uint64(), 2**64 - 1),
        "float": (pa.float32(), 0.5),
        "decimal": (pa.decimal128(20, 4), Decimal("-1234567.8900")),
        "bytes": (pa.binary(), b"\x00\xff"),
        "fixed": (pa.binary(2), b"\x00\xff"),
        "date": (pa.date32(), date(2026, 2, 28)),
        "time": (pa.time64("us"), datetime(2026, 2, 28, 23, 59, 59, 5).time()),  # noqa: DTZ001 - of day
        "naive": (pa.timestamp("us"), datetime(2026, 2, 28, 23, 59, 59)),  # noqa: DTZ001 - without a time zone
        "moment": (pa.timestamp("ns", "Europe/Berlin"), datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)),
        "duration": (pa.duration("ms"), 1_500),
        "large": (pa.large_string(), "large"),
        "few": (pa.dictionary(pa.int32(), pa.string()), "few"),
        "list": (pa.list_(pa.struct([("role", pa.string()), ("n", pa.int32())])), [{"role": "user", "n": None}]),
        "struct": (pa.struct([("a b", pa.list_(pa.float64())), ("at", pa.date32())]), {"a b": [1.5], "at": None}),
        "map": (pa.map_(pa.string(), pa.int64()), [("k", 1)]),
    }
    columns = {
        name: pa.array([value if row % 2 == 0 else None for row in range(rows)], kind)
        for name, (kind, value) in values.items()
    }
    numbers = pa.array([2**62 + row if row % 2 == 0 else None for row in range(rows)], pa.int64())
    return pa.table({**columns, "a big number": numbers})


def _folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    return data


def _parts(tmp_path: Path, parts: int) -> Parts:
    made = Parts(_folder(tmp_path))
    for number in range(parts):
        made.write(number)
    return made


def _deliver(place: Place, parts: Iterable[Part]) -> None:
    with closing(place.sink()) as sink:
        sink.versions(RUN, [])
        for part in parts:
            sink.deliver(part)


def _deliver_outstanding(place: Place, parts: list[Part]) -> None:
    with closing(place.sink()) as sink:
        held = sink.versions(RUN, [part.number for part in parts])
        for part in parts:
            if held.get(part.number) != part.version:
                sink.deliver(part)


def _versions(place: Place, parts: Iterable[Part]) -> dict[int, int]:
    with closing(place.sink()) as sink:
        return dict(sink.versions(RUN, [part.number for part in parts]))


def _texts(place: Place) -> dict[int, str]:
    return {row["row"]: row["text"] for row in place.rows()}


def _beginnings(rows: Iterable[dict[str, Any]], number: int) -> set[str]:
    """Return with what the answers of a part begin."""
    return {row["text"].rpartition(" ")[0] for row in rows if row["row"] // ROWS_PER_PART == number}


def _kill_a_delivery(place: Place, parts: Parts, chance: Random) -> None:
    """Deliver in a process of its own, and kill that at a moment that `chance` chooses."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = _processes.Process(target=_deliver_and_tell, args=(place, parts, theirs))
    process.start()
    theirs.close()
    try:
        for _ in range(
            1 + chance.randrange(PARTS_TO_KILL_IN)
        ):  # the sink's libraries are loaded once the first has gone through
            ours.recv()
        time.sleep(chance.uniform(0, 0.02))
    except EOFError:
        pass  # it was faster than chance
    finally:
        if process.pid is not None:
            process.kill()
        process.join()
    assert process.exitcode in {0, -signal.SIGKILL}, f"the delivery failed by itself: exit code {process.exitcode}"


def _deliver_and_tell(place: Place, parts: Parts, told: Connection) -> None:
    with closing(place.sink()) as sink:
        sink.versions(RUN, [])
        for part in parts.all():
            told.send(part.number)
            sink.deliver(part)


def _in_a_process(function: Any, *arguments: Any) -> Any:
    with _processes.Pool(1) as pool:
        return pool.apply(function, arguments)


def _deliver_large(place: Place, data: Path, rows: int) -> tuple[int, list[int]]:
    """Deliver a small part and then one of `rows` rows; return by how much memory grew [bytes], and what is held."""
    parts = Parts(data)
    parts.write(0)
    _deliver(place, parts.all())
    _write_large(parts, rows)
    before_bytes = _peak_bytes()
    large = parts.all()
    _deliver(place, large)
    return _peak_bytes() - before_bytes, list(_versions(place, large))


def _write_large(parts: Parts, rows: int) -> None:
    """Write a part of about 1.6 KB a row that does not compress away, in row groups as a run writes them."""
    chance = Random(0)
    pool = [chance.randbytes(400).hex() for _ in range(2_000)]
    of = Range(0, 0, rows)
    schema = pa.schema([ROW, *RESULT])
    facts = PartFacts(0, 0, of.last_row, parts.run_id, True, Totals(rows))
    beside = parts.data / f".{of.part_name}"
    with pq.ParquetWriter(beside, schema, use_dictionary=False, compression="none", write_page_checksum=True) as writer:
        for table in _large_tables(schema, pool, rows):
            writer.write_table(table)
        writer.add_key_value_metadata({KEY.decode(): facts.to_json()})
    sign(beside, facts)
    beside.rename(parts.data / of.part_name)


def _large_tables(schema: pa.Schema, pool: list[str], rows: int, at_once: int = 1_000) -> Iterator[pa.Table]:
    for first_row in range(0, rows, at_once):
        numbers = pa.array(range(first_row, first_row + at_once), pa.int64())
        given: dict[str, Any] = {
            "row": numbers,
            "status": ["ok"] * at_once,
            "text": [pool[row % len(pool)] + pool[row // len(pool)] for row in range(first_row, first_row + at_once)],
        }
        columns = [given.get(field.name, pa.nulls(at_once, field.type)) for field in schema]
        yield pa.Table.from_arrays(columns, schema=schema)


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
