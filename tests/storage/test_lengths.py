"""The latest lengths of an output: from its last parts and logs, and no more of them than are wanted."""

from pathlib import Path

from batchrun.records import Usage
from batchrun.storage.lengths import latest_lengths
from batchrun.storage.replay import LATEST
from tests.storage.outputs import Made, failure, make, outcome


def written(made: Made, *numbers: int) -> None:
    """Write the parts of some ranges; a row's answer is as long as its number."""
    for number in numbers:
        of = made.ranges[number]
        made.write(of, [outcome(row, usage=Usage(10, row)) for row in range(of.first_row, of.stop_row)])


def test_the_lengths_of_parts_come_in_row_order(tmp_path: Path) -> None:
    made = make(tmp_path, rows=10, rows_per_part=4)
    written(made, 0, 1, 2)

    assert list(latest_lengths(made.folder, made.ranges, lambda _: None)) == list(range(10))


def test_the_last_parts_are_enough(tmp_path: Path) -> None:
    made = make(tmp_path, rows=2 * LATEST + 4, rows_per_part=LATEST)
    written(made, 0, 1, 2)
    lengths = list(latest_lengths(made.folder, made.ranges, lambda _: None))

    assert lengths == list(range(LATEST, 2 * LATEST + 4))  # 4 rows of the last part, and the one before it


def test_rows_without_an_answer_have_no_length(tmp_path: Path) -> None:
    made = make(tmp_path, rows=4, rows_per_part=4)
    made.write(made.ranges[0], [failure(0), outcome(1), failure(2), outcome(3)])

    assert list(latest_lengths(made.folder, made.ranges, lambda _: None)) == [2, 2]


def test_an_output_adds_the_lengths_of_its_open_logs(tmp_path: Path) -> None:
    made = make(tmp_path, rows=10, rows_per_part=4)
    written(made, 0)
    output = made.open()
    for first_row, carried in ((4, made.carried(4, 8)), (8, made.carried(8, 10))):
        output.accept(first_row, carried[0])
    for row in (8, 5):
        output.record(outcome(row, usage=Usage(10, row)))
    output.close()

    output = made.open()
    assert list(output.latest_lengths()) == [0, 1, 2, 3, 5, 8]
    output.close()


def test_a_part_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    made = make(tmp_path, rows=8, rows_per_part=4)
    written(made, 0)
    made.part(1).write_bytes(b"no part")

    assert list(latest_lengths(made.folder, made.ranges, lambda _: None)) == [0, 1, 2, 3]
