"""Ids that are missing or repeated."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.storage.source import IdFaults, RepeatedId, Source, duplicate_ids, scan


def source_of(folder: Path, ids: list[Any] | pa.Array) -> Source:
    pq.write_table(pa.table({"id": ids}), folder / "a.parquet", row_group_size=7)
    return scan(["a.parquet"], folder)


def test_unique_ids_have_no_faults(tmp_path: Path) -> None:
    faults = duplicate_ids(source_of(tmp_path, ["a", "b", "c"]), "id")

    assert not faults
    assert str(faults) == "ids are unique"


def test_repeated_ids_are_counted_and_shown_with_their_rows(tmp_path: Path) -> None:
    faults = duplicate_ids(source_of(tmp_path, ["a", "b", "a", "c", "b", "a"]), "id")

    assert faults == IdFaults(0, (), 3, (RepeatedId("a", (0, 2, 5)), RepeatedId("b", (1, 4))))
    assert str(faults) == "3 rows repeat the id of an earlier row: 'a' in rows 0, 2, 5; 'b' in rows 1, 4"


def test_rows_without_an_id_are_counted(tmp_path: Path) -> None:
    faults = duplicate_ids(source_of(tmp_path, [1, None, 3, *[None] * 9]), "id")

    assert faults == IdFaults(10, (1, 3, 4, 5, 6), 0, ())
    assert str(faults) == "10 rows have no id, such as row 1"


@pytest.mark.parametrize("hashes_per_pass", [1, 3, 10, 1000])
def test_the_number_of_passes_does_not_change_the_answer(tmp_path: Path, hashes_per_pass: int) -> None:
    source = source_of(tmp_path, [*range(30), 3, 4, *range(40, 50), 3, None])

    assert duplicate_ids(source, "id", hashes_per_pass) == IdFaults(
        1, (43 + 0,), 3, (RepeatedId("3", (3, 30, 42)), RepeatedId("4", (4, 31)))
    )


def test_integers_that_python_hashes_alike_are_not_repeats(tmp_path: Path) -> None:
    assert not duplicate_ids(source_of(tmp_path, pa.array([-1, -2, 0, 2**61 - 1], pa.int64())), "id")


def test_five_examples_are_enough(tmp_path: Path) -> None:
    faults = duplicate_ids(source_of(tmp_path, [*range(20), *range(20), *[0] * 20]), "id")

    assert faults.repeats == 40
    assert [example.text for example in faults.examples] == ["0", "1", "2", "3", "4"]
    assert faults.examples[0].rows == (0, 20, 40, 41, 42)


def test_a_missing_id_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input.id: no column 'key'"):
        duplicate_ids(source_of(tmp_path, [1]), "key")
