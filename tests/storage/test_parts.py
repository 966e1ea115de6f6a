"""A part holds its rows in small row groups, says what it is, proves its bytes, and appears whole or not at all."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError, StorageError
from batchrun.records import Outcome, Totals
from batchrun.storage.folder import Folder
from batchrun.storage.part_facts import PartFacts, proven_facts, read_facts
from batchrun.storage.parts import Target, write_part
from batchrun.storage.ranges import DATA, Range
from batchrun.storage.schema import result_schema, stored_schema
from tests.storage.outputs import failure, object_at, outcome, totals_of

NO_DIGEST = '"digest": "' + "0" * 64


@pytest.fixture
def target(tmp_path: Path) -> Target:
    for name in ("data", "tmp"):
        (tmp_path / name).mkdir()
    return Target(Folder(tmp_path), result_schema([]), "run", emulated=False)


def data_of(target: Target) -> Path:
    return Path(target.store.where(DATA))


def write(target: Target, outcomes: list[Outcome], kept: list[pa.RecordBatch] | None = None) -> Path:
    of = Range(0, 0, len(outcomes))
    write_part(target, of, totals_of(outcomes), outcomes, kept or ())
    return data_of(target) / of.part_name


def test_a_part_says_what_it_is(target: Target) -> None:
    outcomes = [outcome(0), failure(1)]
    path = write(target, outcomes)

    facts = read_facts(*object_at(path))
    assert replace(facts, digest="") == PartFacts(0, 0, 1, "run", emulated=False, totals=totals_of(outcomes), digest="")
    assert facts == proven_facts(*object_at(path))


def test_every_column_comes_back(target: Target) -> None:
    table = pq.read_table(write(target, [outcome(0), failure(1)]))

    assert table.schema.equals(target.schema)
    answered, failed = table.to_pylist()
    assert (answered["row"], answered["status"], answered["text"]) == (0, "ok", "answer 0")
    assert (answered["input_tokens"], answered["output_tokens"], answered["cache_read_tokens"]) == (10, 2, 0)
    assert answered["finished_at"].isoformat() == "2026-11-20T08:00:00.250000+00:00"
    assert (failed["status"], failed["error_code"], failed["input_tokens"]) == ("failed", "Throttled", None)


def test_an_outcome_without_a_moment_has_none(target: Target) -> None:
    path = write(target, [outcome(0, finished_at="")])

    assert pq.read_table(path).column("finished_at").to_pylist() == [None]


def test_an_answer_that_no_file_can_spell_does_not_stop_the_part(target: Target) -> None:
    path = write(target, [outcome(0, text="a\ud83db"), outcome(1, text="\ud83d\ude00 \x00")])

    assert pq.read_table(path).column("text").to_pylist() == ["a\ufffdb", "\U0001f600 \x00"]


def test_nothing_else_is_left_beside_a_part(target: Target) -> None:
    path = write(target, [outcome(0)])

    assert list(data_of(target).iterdir()) == [path]
    assert list(target.store.tmp.iterdir()) == []


@pytest.mark.parametrize("column", ["text", "error_message", "stop_reason", "status_like"])
def test_an_answer_that_spells_the_place_of_the_digest_cannot_pass_for_it(target: Target, column: str) -> None:
    told = PartFacts(0, 0, 1, "run", emulated=False, totals=totals_of([outcome(0), outcome(1)])).to_json()
    for spelled in (NO_DIGEST, told):
        kept = None
        if column == "status_like":  # a column carried over, under a name that spells it too
            field = pa.field(spelled, pa.string())
            target = replace(target, schema=result_schema([field]))
            kept = [pa.record_batch([pa.array([spelled, spelled])], names=[spelled])]
            outcomes = [outcome(0), outcome(1)]
        else:
            outcomes = [outcome(0, **{column: spelled}), outcome(1, **{column: spelled})]
        path = write(target, outcomes, kept)

        facts = read_facts(*object_at(path))
        assert facts.digest != "0" * 64
        assert facts == proven_facts(*object_at(path))
        assert set(pq.read_table(path).column(column if kept is None else spelled).to_pylist()) == {spelled}


def test_no_piece_of_an_answer_or_of_a_carried_column_stands_in_the_footer(target: Target) -> None:
    target = replace(target, schema=result_schema([pa.field("prompt", pa.string())]))
    kept = [pa.record_batch({"prompt": ["SECRET-PROMPT"]})]
    path = write(target, [outcome(0, text="SECRET-ANSWER", error_message="SECRET-ERROR")], kept)

    whole = path.read_bytes()
    footer = whole[-8 - int.from_bytes(whole[-8:-4], "little") :]
    assert b"SECRET" not in footer


def test_row_numbers_have_statistics_that_readers_skip_by(target: Target) -> None:
    path = write(target, [outcome(row) for row in range(5)])

    statistics = pq.read_metadata(path).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (0, 4)


def test_long_answers_make_small_row_groups(target: Target) -> None:
    path = write(target, [outcome(row, text="x" * 100_000) for row in range(100)])  # 10 MB

    groups = pq.read_metadata(path).num_row_groups
    assert groups == 3  # of 40, 40 and 20 rows
    assert read_facts(*object_at(path)) == proven_facts(*object_at(path))


def test_wide_carried_columns_are_written_batch_by_batch(target: Target) -> None:
    target = replace(target, schema=result_schema([pa.field("wide", pa.large_binary())]))
    drawn: list[int] = []

    def kept() -> Iterator[pa.RecordBatch]:
        for row in range(12):
            drawn.append(row)
            yield pa.record_batch({"wide": pa.array([bytes([row]) * 1_000_000], pa.large_binary())})

    def outcomes() -> Iterator[Outcome]:
        for row in range(12):
            assert len(drawn) >= row  # one row ahead at the most
            assert len(drawn) <= row + 1
            yield outcome(row)

    of = Range(0, 0, 12)
    write_part(target, of, totals_of(outcome(row) for row in range(12)), outcomes(), kept())
    path = data_of(target) / of.part_name

    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 3  # of 4 MB
    wide = pq.read_table(path).column("wide").to_pylist()
    assert [value[0] for value in wide] == list(range(12))


def test_carried_batches_need_not_fit_the_chunks(target: Target) -> None:
    target = replace(target, schema=result_schema([pa.field("id", pa.int64())]))
    sizes = [0, 1, 299, 0, 700]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    kept = [
        pa.record_batch({"id": pa.array(range(start, start + size), pa.int64())})
        for start, size in zip(starts, sizes, strict=True)
    ]
    path = write(target, [outcome(row) for row in range(1000)], kept)

    table = pq.read_table(path)
    assert table.column("id").to_pylist() == table.column("row").to_pylist() == list(range(1000))


def test_a_spool_that_is_short_writes_no_part(target: Target) -> None:
    target = replace(target, schema=result_schema([pa.field("id", pa.int64())]))

    with pytest.raises(OSError, match="fewer rows than the log"):
        write(target, [outcome(0), outcome(1)], [pa.record_batch({"id": [7]})])
    assert list(data_of(target).iterdir()) == list(target.store.tmp.iterdir()) == []


def test_an_outcome_that_cannot_be_read_writes_no_part(target: Target) -> None:
    def outcomes() -> Iterator[Outcome]:
        yield outcome(0)
        raise OSError("the log does not read back")

    with pytest.raises(OSError, match="the log does not read back"):
        write_part(target, Range(0, 0, 2), Totals(), outcomes(), ())
    assert list(data_of(target).iterdir()) == list(target.store.tmp.iterdir()) == []


FULL_DISK = """
import random, resource, signal, sys
from pathlib import Path
from batchrun.storage.folder import Folder
from batchrun.storage.parts import Target, write_part
from batchrun.storage.ranges import Range
from batchrun.storage.schema import result_schema
from tests.storage.outputs import outcome, totals_of
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
base = Path(sys.argv[1])
target = Target(Folder(base), result_schema([]), "run", emulated=False)
chance = random.Random(1)
outcomes = [outcome(row, text=chance.randbytes(500).hex()) for row in range(2000)]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_part(target, Range(0, 0, 2000), totals_of(outcomes), outcomes, ())
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("fits_bytes", [100, 1_000_000])
def test_a_full_disk_leaves_no_half_part(target: Target, fits_bytes: int) -> None:
    command = [sys.executable, "-c", FULL_DISK, data_of(target).parent, str(fits_bytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert done.stdout == "OSError\n"
    assert list(data_of(target).iterdir()) == list(target.store.tmp.iterdir()) == []


KINDS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.list_(pa.struct([("role", pa.string()), ("n", pa.int8())])), [[{"role": "user", "n": 1}], None, []]),
    (pa.map_(pa.string(), pa.list_(pa.int32())), [[("a", [1])], None, []]),
    (pa.dictionary(pa.int32(), pa.string()), ["x", None, "x"]),
    (pa.timestamp("us", "Europe/Berlin"), [0, None, 1]),
    (pa.timestamp("ns"), [1, None, 2]),
    (pa.decimal128(20, 4), [None, None, None]),
    (pa.binary(), [b"\x00", None, b"\xff"]),
    (pa.binary(2), [b"ab", None, b"cd"]),
    (pa.large_string(), ["x", None, ""]),
    (pa.date32(), [1, None, 3]),
    (pa.bool_(), [True, None, False]),
    (pa.uint64(), [2**64 - 1, None, 0]),
    (pa.null(), [None, None, None]),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_a_carried_column_keeps_its_type_and_values(target: Target, kind: pa.DataType, values: list[Any]) -> None:
    target = replace(target, schema=result_schema([pa.field("kept", kind)]))
    kept = pa.record_batch([pa.array(values, kind)], names=["kept"])
    path = write(target, [outcome(row) for row in range(3)], [kept])

    table = pq.read_table(path)
    assert table.schema.field("kept").type == kind
    assert table.column("kept").to_pylist() == kept.column(0).to_pylist()


def test_seconds_become_milliseconds_since_parquet_has_none() -> None:
    schema = pa.schema([("at", pa.timestamp("s"))])

    assert stored_schema(schema).field("at").type == pa.timestamp("ms")


@pytest.mark.parametrize("name", ["row", "status", "text", "answer", "finished_at"])
def test_a_carried_column_with_the_name_of_a_result_column_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"input column '{name}' has the name of a result column"):
        result_schema([pa.field(name, pa.string())])


def test_a_carried_column_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="input column 'id' is named twice"):
        result_schema([pa.field("id", pa.string()), pa.field("id", pa.string())])


def test_a_carried_column_that_parquet_cannot_hold_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InputError, match=r"input column 'a': Parquet cannot hold struct<>"):
        result_schema([pa.field("a", pa.struct([]))])


def test_a_file_that_is_no_part_says_what_to_do(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": [1]}), tmp_path / "a.parquet")

    for read in (read_facts, proven_facts):
        with pytest.raises(StorageError, match=r"a\.parquet: not a part of a batchrun output: .*move it away"):
            read(*object_at(tmp_path / "a.parquet"))
