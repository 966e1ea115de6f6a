"""Rows over many files: one numbering, one type for each column, and errors that name the file."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.storage.source import Source, SourceFile, scan


def write(folder: Path, name: str, columns: dict[str, Any], **options: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name, **options)


def values(source: Source, *columns: str, rows: tuple[int, int] | None = None) -> list[tuple[Any, ...]]:
    first, stop = rows or (0, source.rows)
    batches = list(source.read(columns, first, stop))
    assert [batch.first_row for batch in batches] == [first, *(batch.stop_row for batch in batches)][: len(batches)]
    assert all(batch.batch.schema.names == list(columns) for batch in batches)
    return [tuple(row.values()) for batch in batches for row in batch.batch.to_pylist()]


def test_rows_are_numbered_over_all_files(tmp_path: Path) -> None:
    for at, start in enumerate([0, 5, 10]):
        write(tmp_path, f"d/{at}.parquet", {"id": list(range(start, start + 5)), "t": ["x"] * 5}, row_group_size=2)
    source = scan(["d"], tmp_path)

    assert source.rows == 15
    assert values(source, "id", rows=(3, 12)) == [(row,) for row in range(3, 12)]
    assert values(source, "id", rows=(7, 7)) == []


def test_every_stretch_reads_as_the_whole_does(tmp_path: Path) -> None:
    write(tmp_path, "d/a.parquet", {"id": [0, 1, 2, 3]}, row_group_size=3)
    write(tmp_path, "d/b.parquet", {"id": pa.array([], pa.int64())})
    write(tmp_path, "d/c.parquet", {"id": [4, 5]})
    source = scan(["d"], tmp_path)

    for first in range(7):
        for stop in range(first, 7):
            assert values(source, "id", rows=(first, stop)) == [(row,) for row in range(first, stop)]


def test_rows_outside_of_the_input_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"id": [1]})

    with pytest.raises(ValueError, match="rows 0 to 2 of 1"):
        scan(["a.parquet"], tmp_path).read(["id"], 0, 2)


def test_columns_come_in_the_order_asked_for_and_nulls_come_through(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"a": [1, None], "b": ["x", None], "c": [0.5, 1.5]})

    assert values(scan(["a.parquet"], tmp_path), "b", "a") == [("x", 1), (None, None)]


def test_no_columns_give_batches_of_the_right_length(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"a": [1, 2, 3]})

    assert [batch.rows for batch in scan(["a.parquet"], tmp_path).read([], 1, 3)] == [2]


def test_a_dot_in_a_column_name_is_not_a_path(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"a": [{"b": 1, "c": 2}], "a.b": ["dotted"], ".": [3], "a.b.c": [4]})
    source = scan(["a.parquet"], tmp_path)

    assert values(source, "a.b") == [("dotted",)]
    assert values(source, "a.b.c", ".", "a") == [(4, 3, {"b": 1, "c": 2})]
    with pytest.raises(InputError, match=r"no column 'a\.c'"):
        source.require(["a.c"], "prompt.user")


def test_types_that_differ_are_unified_where_nothing_is_lost(tmp_path: Path) -> None:
    write(tmp_path, "d/1.parquet", {"n": pa.array([1], pa.int32()), "t": ["a"], "s": [{"x": 1}]})
    write(
        tmp_path, "d/2.parquet", {"n": pa.array([2], pa.int64()), "t": pa.array(["b"], pa.large_string()), "s": [None]}
    )
    write(tmp_path, "d/3.parquet", {"n": pa.nulls(1), "t": pa.array(["c"]).dictionary_encode(), "s": [{"y": "z"}]})
    source = scan(["d"], tmp_path)

    assert [str(field.type) for field in source.schema][:2] == ["int64", "large_string"]
    assert values(source, "n", "t") == [(1, "a"), (2, "b"), (None, "c")]
    assert values(source, "s") == [({"x": 1, "y": None},), (None,), ({"x": None, "y": "z"},)]


def test_types_that_clash_matter_only_when_they_are_used(tmp_path: Path) -> None:
    write(tmp_path, "d/1.parquet", {"id": [1], "v": ["text"]})
    write(tmp_path, "d/2.parquet", {"id": [2], "v": [5]})
    source = scan(["d"], tmp_path)

    assert values(source, "id") == [(1,), (2,)]
    with pytest.raises(InputError, match=r"input.keep: column 'v' is string in .*1\.parquet but int64 in .*2\.parquet"):
        source.require(["v"], "input.keep")


def test_an_integer_that_a_float_cannot_hold_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "d/1.parquet", {"v": [0.5]})
    write(tmp_path, "d/2.parquet", {"v": [2**60]})

    with pytest.raises(InputError, match=r"2\.parquet: column 'v' does not fit double"):
        list(scan(["d"], tmp_path).read(["v"], 0, 2))


def test_a_missing_column_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "d/1.parquet", {"title": ["a"], "body": ["b"], "extra": [1]})
    write(tmp_path, "d/2.parquet", {"title": ["a"], "body": ["b"]})
    source = scan(["d"], tmp_path)

    with pytest.raises(
        InputError, match=r"prompt.user: no column 'titel' in .*1\.parquet; the nearest is 'title'; it has"
    ):
        source.require(["titel"], "prompt.user")
    with pytest.raises(InputError, match=r"no column 'extra' in .*2\.parquet; .*it has title, body"):
        source.read(["extra"], 0, 2)


def test_a_column_that_occurs_twice_is_refused_when_it_is_used(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["d", "d", "e"]), tmp_path / "a.parquet"
    )
    source = scan(["a.parquet"], tmp_path)

    assert values(source, "e") == [(3,)]
    with pytest.raises(InputError, match="2 columns are called 'd'"):
        source.require(["d"], "input.id")


def test_files_without_rows_have_no_say(tmp_path: Path) -> None:
    write(tmp_path, "d/1.parquet", {"other": pa.array([], pa.int64())})
    write(tmp_path, "d/2.parquet", {"id": [7]})
    source = scan(["d"], tmp_path)

    assert values(source, "id") == [(7,)]
    assert source.schema.names == ["id"]


def test_no_rows_at_all_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"id": pa.array([], pa.int64())})
    (tmp_path / "b.jsonl").touch()
    source = scan(["a.parquet", "b.jsonl"], tmp_path)

    source.require(["id", "whatever"], "prompt.user")
    assert source.rows == 0
    assert values(source, "id", "whatever") == []


def test_partition_folders_are_text_columns_and_hide_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "d/y=007/a.parquet", {"id": [1], "y": [7]})
    write(tmp_path, "d/y=__HIVE_DEFAULT_PARTITION__/a.parquet", {"id": [2]})
    source = scan(["d"], tmp_path)

    assert source.schema.field("y").type == pa.string()
    assert values(source, "y", "id") == [("007", 1), (None, 2)]
    assert values(source, "y") == [("007",), (None,)]


def test_formats_can_be_mixed_in_a_list(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"t": pa.array(["p"], pa.large_string())})
    (tmp_path / "b.jsonl").write_text('{"t": "j"}\n')
    (tmp_path / "c.csv").write_text("t\nc\n")

    assert values(scan(["a.parquet", "b.jsonl", "c.csv"], tmp_path), "t") == [("p",), ("j",), ("c",)]


def test_known_files_keep_their_order_and_new_ones_come_last(tmp_path: Path) -> None:
    for name in ["b", "c"]:
        write(tmp_path, f"d/{name}.parquet", {"id": [name]})
    known = {file.name: file for file in reversed(scan(["d"], tmp_path).files)}
    write(tmp_path, "d/a.parquet", {"id": ["a"]})

    assert values(scan(["d"], tmp_path, known), "id") == [("c",), ("b",), ("a",)]


def test_a_known_file_that_is_gone_keeps_its_place(tmp_path: Path) -> None:
    for name in ["a", "b"]:
        write(tmp_path, f"d/{name}.parquet", {"id": [name]})
    known = {file.name: file for file in scan(["d"], tmp_path).files}
    (tmp_path / "d" / "a.parquet").unlink()
    source = scan(["d"], tmp_path, known)

    assert (source.missing, source.rows, source.files[1].name) == ({"d/a.parquet"}, 2, "d/b.parquet")
    assert [row.batch.to_pylist() for row in source.read(["id"], 1, 2)] == [[{"id": "b"}]]
    with pytest.raises(InputError, match=r"a\.parquet: No such file"):
        list(source.read(["id"], 0, 2))


def test_a_known_file_is_not_read_again_unless_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n')
    known = {file.name: file for file in scan(["a.jsonl"], tmp_path).files}
    path.write_text("not JSON\n")
    os.utime(path, ns=(0, known["a.jsonl"].mtime_ns))

    assert scan(["a.jsonl"], tmp_path, known).files == (known["a.jsonl"],)  # same size and time: believed

    os.utime(path, ns=(0, known["a.jsonl"].mtime_ns + 1))
    with pytest.raises(InputError, match="line 1"):
        scan(["a.jsonl"], tmp_path, known)


def test_a_new_time_of_change_alone_is_the_same_content(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"id": [1]})
    source = scan(["a.parquet"], tmp_path)
    os.utime(tmp_path / "a.parquet", ns=(0, 0))
    again = scan(["a.parquet"], tmp_path).files[0]

    assert again != source.files[0]
    assert again.is_same_content(source.files[0])
    assert values(source, "id") == [(1,)]


def test_a_file_survives_json(tmp_path: Path) -> None:
    write(tmp_path, "y=1/a.parquet", {"id": [1], "l": [[{"x": "y"}]]})
    file = scan(["y=1"], tmp_path).files[0]

    assert SourceFile.from_json(file.to_json()) == file


def test_a_file_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t\na\nb\n")
    source = scan(["a.csv"], tmp_path)
    path.write_text("t\na\n")

    with pytest.raises(InputError, match=r"a\.csv: changed since it was scanned: 6 bytes then, 4 now"):
        list(source.read(["t"], 0, 2))


def test_other_content_of_the_same_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t\na\nb\n")
    source = scan(["a.csv"], tmp_path)
    path.write_text("t\nabc\n")
    os.utime(path, ns=(0, 0))

    with pytest.raises(InputError, match="other content"):
        list(source.read(["t"], 0, 2))


def test_fewer_rows_than_promised_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t\na\nb\n")
    source = scan(["a.csv"], tmp_path)
    path.write_text("t\nabc\n")
    os.utime(path, ns=(0, source.files[0].mtime_ns))

    with pytest.raises(InputError, match="rows 0 to 2 are 1 rows now"):
        list(source.read(["t"], 0, 2))


def test_a_file_that_is_gone_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"id": [1]})
    source = scan(["a.parquet"], tmp_path)
    (tmp_path / "a.parquet").unlink()

    with pytest.raises(InputError, match=r"a\.parquet: No such file"):
        list(source.read(["id"], 0, 1))


def test_one_file_is_open_at_a_time(tmp_path: Path) -> None:
    for at in range(8):
        write(tmp_path, f"d/{at}.parquet", {"id": [at]})
    source = scan(["d"], tmp_path)

    def open_inputs() -> int:
        links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return sum(str(tmp_path) in os.path.realpath(link) for link in links)

    assert max(open_inputs() for _ in source.read(["id"], 0, 8)) <= 1
    assert open_inputs() == 0
