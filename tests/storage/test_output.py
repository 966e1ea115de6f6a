"""An output takes outcomes and makes parts of whole ranges; whatever a kill leaves behind, the next start goes on."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import StorageError
from batchrun.records import Totals, Usage
from batchrun.storage.output import Output
from batchrun.storage.ranges import Range
from batchrun.storage.verify import verify
from tests.storage.outputs import Made, failure, make, outcome


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """10 rows in ranges of 4, 4 and 2; nothing is done yet."""
    return make(tmp_path)


def start(made: Made) -> tuple[Output, list[Range]]:
    """Open the output as a run does; the list fills with ranges that are complete."""
    output = made.open()
    complete: list[Range] = []
    output.when_complete(complete.append)
    return output, complete


def read(made: Made, output: Output) -> list[int]:
    """Pass what the output lacks, as the reader does; return the rows to send."""
    wanted: list[int] = []
    for first_row, stop_row in output.spans_to_read():
        row = first_row
        while row < stop_row:
            stop = min(stop_row, output.range_of(row).stop_row)
            for batch in made.carried(row, stop):
                wanted += output.accept(row, batch)
                row += batch.num_rows
    return wanted


def run(made: Made) -> list[int]:
    """Do all that is left; return the rows that were sent."""
    output, complete = start(made)
    sent = read(made, output)
    for row in sent:
        output.sent(row, 0.5)
        output.record(outcome(row))
    for of in complete:
        output.write_part(of)
    assert output.finished
    output.close()
    assert verify(made.folder, made.source, 10, "id") == []
    assert list(made.folder.wal.iterdir()) == []
    return sent


def test_a_run_without_a_break_sends_every_row_once(made: Made) -> None:
    assert run(made) == list(range(10))
    assert run(made) == []


def test_a_range_is_complete_once_and_only_when_its_columns_have_passed(made: Made) -> None:
    output, complete = start(made)
    (batch,) = made.carried(0, 4)
    output.accept(0, batch.slice(0, 2))
    output.record(outcome(1))
    output.record(outcome(0))
    assert complete == []
    output.accept(2, batch.slice(2))
    output.record(outcome(3))
    assert complete == []
    output.record(outcome(2))
    assert complete == [made.ranges[0]]
    output.close()


def test_a_range_whose_outcomes_are_all_logged_is_complete_when_it_is_passed_again(made: Made) -> None:
    output, _ = start(made)
    output.accept(0, made.carried(0, 4)[0])
    for row in range(4):
        output.record(outcome(row))
    output.close()  # stopped before the part was written

    output, complete = start(made)
    assert output.accept(0, made.carried(0, 4)[0]) == []
    assert complete == [made.ranges[0]]
    output.close()


def test_the_next_start_sends_only_rows_without_an_outcome(made: Made) -> None:
    output, _ = start(made)
    read(made, output)
    for row in (0, 2, 5, 9):
        output.record(outcome(row))
    output.sent(3, 0.5)
    output.close()

    output, _ = start(made)
    assert (output.found.parts, output.found.rows, output.found.in_flight) == (0, 4, 1)
    assert output.totals == Totals(4, {"ok": 4}, Usage(40, 8), 1.0, 0.5)
    output.close()
    assert run(made) == [1, 3, 4, 6, 7, 8]


def test_a_kill_between_the_part_and_the_removal_of_its_log_costs_nothing(made: Made) -> None:
    output, _ = start(made)
    read(made, output)
    for row in range(4):
        output.record(outcome(row))
    output.close()
    made.write(made.ranges[0], [outcome(row) for row in range(4)])
    assert len(list(made.folder.wal.glob("000000.*"))) == 2  # log and spool

    output, _ = start(made)
    assert (output.totals.rows, output.found.parts) == (4, 1)
    output.close()
    assert list(made.folder.wal.glob("000000.*")) == []
    assert run(made) == [4, 5, 6, 7, 8, 9]


def test_a_spool_left_by_a_kill_is_written_anew(made: Made) -> None:
    output, _ = start(made)
    output.accept(0, made.carried(0, 3)[0])
    output.record(outcome(0))
    output.close()
    (made.folder.wal / made.ranges[0].spool_name).write_bytes(b"half a spool")
    (made.folder.wal / made.ranges[2].spool_name).write_bytes(b"of a range without a log")

    assert run(made) == list(range(1, 10))


def test_a_line_of_garbage_sends_its_row_again_and_is_reported(made: Made) -> None:
    output, _ = start(made)
    read(made, output)
    for row in range(4):
        output.record(outcome(row))
    output.close()
    log = made.folder.wal / made.ranges[0].log_name
    log.write_bytes(log.read_bytes().replace(b"answer 2", b"answer 7"))

    output, _ = start(made)
    assert output.found.torn_lines == 1
    output.close()
    assert run(made) == [2, *range(4, 10)]


def test_begun_ranges_are_read_before_others(made: Made) -> None:
    output, _ = start(made)
    read(made, output)
    output.record(outcome(9))
    output.close()
    for of in list(made.ranges)[:2]:
        (made.folder.wal / of.log_name).unlink()

    output, _ = start(made)
    assert list(output.spans_to_read()) == [(8, 10), (0, 8)]
    output.close()


def test_a_part_that_fails_keeps_its_log_for_the_next_start(made: Made) -> None:
    output, complete = start(made)
    read(made, output)
    for row in range(10):
        output.record(outcome(row))
    made.folder.tmp.rmdir()
    with pytest.raises(OSError, match="No such file or directory"):
        output.write_part(complete[0])
    output.close()
    made.folder.tmp.mkdir()

    assert list(made.folder.data.iterdir()) == []
    assert run(made) == []


def test_parts_carry_the_dollars_of_calls_without_an_end(made: Made) -> None:
    output, complete = start(made)
    read(made, output)
    output.unsettled(2, 0.125)
    for row in range(4):
        output.record(outcome(row))
    output.write_part(complete[0])
    output.close()

    output, _ = start(made)
    assert output.totals == Totals(4, {"ok": 4}, Usage(40, 8), 1.0, 0.125)
    output.close()


def test_a_part_of_another_run_is_refused_by_name(made: Made) -> None:
    made.write(made.ranges[1], [outcome(row) for row in range(4, 8)], run_id="another")

    with pytest.raises(StorageError, match=r"part-000001\.parquet: is not this output's part: .* of run another"):
        made.open()


def test_a_damaged_part_is_refused_with_what_to_do(made: Made) -> None:
    made.part(0).write_bytes(b"PAR1")

    with pytest.raises(StorageError, match=r"part-000000\.parquet: not a part of a batchrun output: .*move it away"):
        made.open()


def test_parts_of_one_row(tmp_path: Path) -> None:
    made = make(tmp_path, rows=10, rows_per_part=1)

    assert run(made) == list(range(10))
    assert len(list(made.folder.data.iterdir())) == 10


def test_an_output_without_carried_columns_needs_no_spool(made: Made) -> None:
    output = Output(made.target, made.ranges, pa.schema([]))
    assert output.accept(8, pa.RecordBatch.from_struct_array(pa.nulls(2, pa.struct([])))) == [8, 9]

    assert [path.name for path in made.folder.wal.iterdir()] == ["000002.log"]
    output.close()


def test_an_input_without_rows_is_finished_at_once_with_an_empty_part(tmp_path: Path) -> None:
    made = make(tmp_path, rows=0)

    output, _ = start(made)
    assert output.finished
    assert (output.totals, list(output.spans_to_read())) == (Totals(), [])
    output.close()
    assert pq.read_table(made.part(0)).num_rows == 0


def test_an_output_that_began_empty_grows_behind_its_empty_part(tmp_path: Path) -> None:
    made = make(tmp_path)
    grown = replace(made, manifest=replace(made.manifest, stretches=(0, 10)))
    grown.manifest.write(grown.folder)

    assert run(grown) == list(range(10))
    assert sorted(path.name for path in grown.folder.data.iterdir()) == [of.part_name for of in grown.ranges]
    assert pq.read_table(grown.folder.data).column("row").to_pylist() == list(range(10))


def test_failed_rows_are_rows(made: Made) -> None:
    output, complete = start(made)
    read(made, output)
    for row in range(4):
        output.record(failure(row))
    output.write_part(complete[0])

    assert output.totals.by_status == {"failed": 4}
    assert pq.read_table(made.part(0)).column("error_code").to_pylist() == ["Throttled"] * 4
    output.close()
