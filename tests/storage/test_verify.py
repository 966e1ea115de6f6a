"""verify says nothing of a whole output, and names everything that is wrong with another."""

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.records import Status, Totals
from batchrun.storage.audit import Expected, audit_part
from batchrun.storage.parts import write_part
from batchrun.storage.schema import stored_schema
from batchrun.storage.source import scan
from batchrun.storage.verify import verify
from tests.storage.outputs import Made, failure, make, outcome, take, totals_of, write_input


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """10 rows in parts of 4, 4 and 2."""
    made = make(tmp_path)
    made.finish()
    return made


def at_most_one(failed: int, rows: int) -> bool:
    return failed <= 1


def wrong(made: Made, rows: int = 10) -> list[str]:
    return verify(made.folder, made.source, rows, "id", at_most_one)


def forge(made: Made, number: int, rows: list[int]) -> None:
    """Write a part that is sound but for the rows that it holds."""
    made.write(made.ranges[number], [outcome(row) for row in rows])


def only(lines: list[str], made: Made) -> str:
    """Return the one fault beside _SUCCESS, which must not be there when something is wrong."""
    assert lines[-1] == (
        f"{made.folder.success}: is there although results are missing or wrong: run again once that is put right"
    )
    (line,) = lines[:-1]
    return line


def test_nothing_is_wrong_with_a_whole_output(made: Made) -> None:
    assert wrong(made) == []


def test_every_sort_of_kept_column_equals_its_input(tmp_path: Path) -> None:
    def columns(rows: int) -> dict[str, pa.Array]:
        return {
            "seconds": pa.array([*range(rows)], pa.timestamp("s")),
            "share": pa.array([float("nan"), None, *map(float, range(rows - 2))]),
            "nested": pa.array([{"a": [row, None]} for row in range(rows)]),
            "kind": pa.array(["x", "y"] * (rows // 2)).dictionary_encode(),
            "bytes": pa.array([bytes([row]) for row in range(rows)], pa.large_binary()),
        }

    write_input(tmp_path / "in.parquet", 10, columns)
    made = take(tmp_path, 10, 4, ["seconds", "share", "nested", "kind", "bytes"])
    made.finish()

    assert wrong(made) == []


def test_a_folder_without_a_manifest_has_no_run(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.folder.manifest.unlink()

    assert wrong(made) == [f"{made.folder.path}: no manifest.json, so no run has written here: run the job first"]


def test_a_manifest_that_is_no_manifest_is_named(made: Made) -> None:
    made.folder.manifest.write_text("[]")

    (line,) = wrong(made)
    assert "manifest.json: cannot be read as a manifest" in line


def test_a_missing_row_shows(made: Made) -> None:
    forge(made, 0, [0, 1, 3])

    assert "part-000000.parquet: row 3 stands where row 2 should" in only(wrong(made), made)


def test_a_missing_last_row_shows(made: Made) -> None:
    forge(made, 0, [0, 1, 2])

    assert "part-000000.parquet: has 3 of 4 rows, row 3 is the first that is missing" in only(wrong(made), made)


def test_a_doubled_row_shows(made: Made) -> None:
    forge(made, 0, [0, 1, 1, 2, 3])

    assert "part-000000.parquet: row 1 stands where row 2 should" in only(wrong(made), made)


def test_a_row_too_many_shows(made: Made) -> None:
    forge(made, 0, [0, 1, 2, 3, 4])

    assert "part-000000.parquet: row 4 stands where the end should" in only(wrong(made), made)


def test_swapped_rows_show(made: Made) -> None:
    forge(made, 1, [4, 6, 5, 7])

    assert "part-000001.parquet: row 6 stands where row 5 should" in only(wrong(made), made)


def test_a_missing_part_names_its_rows(made: Made) -> None:
    made.part(1).unlink()

    assert only(wrong(made), made) == "rows 4 to 7 have no result: run again"


def test_rows_beyond_a_limited_run_are_told_apart_from_those_that_went_missing(tmp_path: Path) -> None:
    write_input(tmp_path / "in.parquet", 10)
    limited = take(tmp_path, 8, 4)
    limited.finish()
    limited.part(1).unlink()
    limited.folder.success.unlink()

    assert wrong(limited, rows=8) == ["rows 4 to 7 have no result: run again"]
    assert wrong(limited, rows=10) == [
        "rows 4 to 7 have no result: run again",
        "rows 8 to 9 have no result: the last run took on 8 rows; run again, without a limit, or verify with --limit 8",
    ]


def test_a_truncated_part_shows(made: Made) -> None:
    whole = made.part(0).read_bytes()
    made.part(0).write_bytes(whole[:-1])

    assert "part-000000.parquet: not a part of a batchrun output" in only(wrong(made), made)


def test_an_empty_file_in_place_of_a_part_shows(made: Made) -> None:
    made.part(0).write_bytes(b"")

    assert "part-000000.parquet: not a part of a batchrun output" in only(wrong(made), made)


def test_a_flipped_byte_in_a_page_shows_as_damage(made: Made) -> None:
    content = bytearray(made.part(2).read_bytes())
    content[60] ^= 1
    made.part(2).write_bytes(content)

    assert "part-000002.parquet: damaged: its bytes have digest" in only(wrong(made), made)


def test_every_flipped_byte_of_a_part_shows(tmp_path: Path) -> None:
    made = make(tmp_path, rows=2, rows_per_part=2)
    made.finish()
    part, of = made.part(0), made.ranges[0]
    expected = Expected(made.manifest.run_id, emulated=False, schema=stored_schema(made.target.schema), carried=None)
    whole = part.read_bytes()
    assert audit_part(made.folder, of, expected).wrong == []

    with part.open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            assert audit_part(made.folder, of, expected).wrong, f"byte {place} of {len(whole)}"
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert audit_part(made.folder, of, expected).wrong == []


def test_a_part_of_another_run_under_our_name_shows(made: Made) -> None:
    made.write(made.ranges[0], [outcome(row) for row in range(4)], run_id="another")

    line = only(wrong(made), made)
    assert "part-000000.parquet: is not this output's part: it holds rows 0 to 3 of run another" in line
    assert made.manifest.run_id in line


def test_one_of_our_parts_under_the_name_of_another_shows(made: Made) -> None:
    made.part(0).write_bytes(made.part(1).read_bytes())

    assert "is not this output's part: it holds rows 4 to 7" in only(wrong(made), made)


def test_foreign_files_in_data_are_listed(made: Made) -> None:
    (made.folder.data / "notes.txt").write_text("")
    (made.folder.data / "part-000003.parquet").write_bytes(made.part(0).read_bytes())

    assert wrong(made) == [
        f"{made.folder.data / name}: is no part of this output, yet readers of the folder take it: move it away"
        for name in ("notes.txt", "part-000003.parquet")
    ]


def test_a_part_with_another_schema_shows(made: Made) -> None:
    schema = made.target.schema.set(1, pa.field("id", pa.large_string()))
    of, outcomes = made.ranges[1], [outcome(row) for row in range(4, 8)]
    ids = pa.table({"id": pa.array([f"id-{row}" for row in range(4, 8)], pa.large_string())})
    write_part(replace(made.target, schema=schema), of, totals_of(outcomes), outcomes, ids.to_batches())

    assert "has another schema: column 2 is pyarrow.Field<id: large_string>, expected" in only(wrong(made), made)


def test_a_part_without_the_carried_columns_shows(made: Made) -> None:
    schema = made.target.schema.remove(1)
    of, outcomes = made.ranges[1], [outcome(row) for row in range(4, 8)]
    write_part(replace(made.target, schema=schema), of, totals_of(outcomes), outcomes, ())

    assert "has another schema: column 2 is pyarrow.Field<status: string not null>" in only(wrong(made), made)


def test_ids_that_are_not_those_of_the_input_show(made: Made) -> None:
    of, outcomes = made.ranges[1], [outcome(row) for row in range(4, 8)]
    ids = pa.table({"id": ["id-4", "id-6", "id-5", "id-7"]})
    write_part(made.target, of, totals_of(outcomes), outcomes, ids.to_batches())

    assert "column 'id' of row 5 is not that of the input" in only(wrong(made), made)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": 3}, "its footer says 3 rows"),
        ({"by_status": {"ok": 3, "failed": 1}}, "its footer says 4 rows, {'ok': 3, 'failed': 1}"),
        ({"usage": totals_of([outcome(0)]).usage}, "its footer says Usage(input=10, output=2"),
        ({"cost_usd": 0.75}, "its rows cost 1.000000000 USD, its footer says 0.750000000 USD"),
    ],
)
def test_a_footer_that_does_not_agree_with_its_rows_shows(made: Made, changes: dict[str, object], told: str) -> None:
    outcomes = [outcome(row) for row in range(4)]
    forged: Totals = replace(totals_of(outcomes), **changes)  # type: ignore[arg-type]
    write_part(made.target, made.ranges[0], forged, outcomes, made.carried(0, 4))

    assert told in only(wrong(made), made)


def test_a_part_of_an_emulator_shows_in_an_output_of_aws(made: Made) -> None:
    made.write(made.ranges[0], [outcome(row) for row in range(4)], emulated=True)

    assert "emulated is True, the manifest says False" in only(wrong(made), made)


def test_an_open_log_says_how_far_it_is(made: Made) -> None:
    made.part(1).unlink()
    made.folder.success.unlink()
    output = made.open()
    output.accept(4, made.carried(4, 8)[0])
    for row in (4, 6, 7):
        output.record(outcome(row))
    output.close()

    assert wrong(made) == ["part 1 is not written yet: 3 of 4 rows (4 to 7) done: run again"]


def test_looking_at_an_open_log_changes_nothing_of_it(made: Made) -> None:
    made.part(1).unlink()
    log = made.folder.wal / made.ranges[1].log_name
    log.write_bytes(b"torn")

    assert "0 of 4 rows (4 to 7) done, 1 torn lines: run again" in only(wrong(made), made)
    assert log.read_bytes() == b"torn"


def test_a_changed_input_is_named_and_no_longer_compared_with(made: Made, tmp_path: Path) -> None:
    write_input(tmp_path / "in.parquet", 9)
    changed = replace(made, source=scan(["in.parquet"], tmp_path))

    (line,) = wrong(changed, rows=9)
    assert line.startswith("input file in.parquet: changed (10 rows, ")


def test_parts_are_still_held_against_each_other_when_the_input_is_gone(made: Made, tmp_path: Path) -> None:
    forge(made, 0, [0, 2, 1, 3])
    write_input(tmp_path / "other.parquet", 10)
    changed = replace(made, source=scan(["other.parquet"], tmp_path))

    lines = wrong(changed)
    assert lines[0] == "input file in.parquet: missing"
    assert "row 2 stands where row 1 should" in lines[1]


def test_an_input_that_changes_behind_the_scan_is_named(made: Made, tmp_path: Path) -> None:
    write_input(tmp_path / "in.parquet", 9)

    assert any("in.parquet: changed since it was scanned" in line for line in wrong(made))


def test_ids_that_repeat_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a", "b", "a", "c"]}), tmp_path / "in.parquet")
    made = take(tmp_path, 4, 4)
    made.finish()

    assert wrong(made, rows=4) == ["input.id 'id': 1 rows repeat the id of an earlier row: 'a' in rows 0, 2"]


def test_an_output_with_another_id_column_says_so(made: Made) -> None:
    assert verify(made.folder, made.source, 10, None) == ["input.id is None, the output was written with 'id'"]


def test_a_whole_output_without_its_success_mark_shows(made: Made) -> None:
    made.folder.success.unlink()

    assert wrong(made) == [
        f"{made.folder.success}: missing although every row has its result: run again to have it written"
    ]


def test_without_a_rule_for_failures_a_missing_success_mark_is_no_fault(made: Made) -> None:
    made.folder.success.unlink()

    assert verify(made.folder, made.source, 10, "id") == []


def test_failed_rows_above_the_limit_must_leave_no_success_mark(made: Made) -> None:
    made.write(made.ranges[2], [failure(8), outcome(9, status=Status.TRUNCATED)])

    assert wrong(made) == [f"{made.folder.success}: is there although 2 of 10 rows are not ok, above limits.max_failed"]
    made.folder.success.unlink()
    assert wrong(made) == []


def test_an_input_without_rows_has_an_empty_part(tmp_path: Path) -> None:
    made = make(tmp_path, rows=0)
    made.open().close()
    made.folder.success.write_text("{}")

    assert wrong(made, rows=0) == []
    made.part(0).unlink()
    assert "part-000000.parquet: missing: run again" in only(wrong(made, rows=0), made)


def test_thousands_of_gaps_make_few_lines(tmp_path: Path) -> None:
    made = make(tmp_path, rows=100, rows_per_part=1)
    for of in list(made.ranges)[::2]:
        made.write(of, [outcome(of.first_row)])

    lines = wrong(made, rows=100)
    assert len(lines) == 21
    assert lines[0] == "row 1 has no result: run again"
    assert lines[-1] == "and 30 further rows in 30 stretches have no result"
