"""Known answers: put in by digest, found again after a restart, dropped by row, and made anew where damaged."""

from pathlib import Path

import pytest

from batchrun.errors import StorageError
from batchrun.records import Status
from batchrun.storage.known_answers import NAME, KnownAnswers
from batchrun.storage.ranges import Range
from tests.storage.outputs import outcome

ASKED, OTHER = b"a" * 16, b"b" * 16


@pytest.fixture
def answers(tmp_path: Path):
    opened = KnownAnswers(tmp_path, "run")
    yield opened
    opened.close()


def test_an_answer_is_found_by_what_was_asked(answers):
    answers.put(ASKED, outcome(3))

    assert answers.get(ASKED) == outcome(3)
    assert answers.get(OTHER) is None


def test_answers_outlive_a_close(tmp_path):
    first = KnownAnswers(tmp_path, "run")
    first.put(ASKED, outcome(3, status=Status.TRUNCATED, text="ünï\n\x00"))
    first.range_is_whole(7)
    first.close()
    second = KnownAnswers(tmp_path, "run")
    found, whole = second.get(ASKED), second.whole_ranges()
    second.close()

    assert found == outcome(3, status=Status.TRUNCATED, text="ünï\n\x00")
    assert whole == {7}


def test_answers_of_another_run_are_not_there(tmp_path):
    first = KnownAnswers(tmp_path, "run")
    first.put(ASKED, outcome(3))
    first.close()
    second = KnownAnswers(tmp_path, "another")
    found = second.get(ASKED)
    second.close()

    assert found is None


def test_a_later_answer_takes_the_place_of_an_earlier_one(answers):
    answers.put(ASKED, outcome(3))
    answers.put(ASKED, outcome(5))

    assert answers.get(ASKED) == outcome(5)


def test_rows_of_a_range_are_told_and_dropped(answers):
    for row in (9, 10, 19, 20):
        answers.put(bytes([row] * 16), outcome(row))

    assert answers.rows_of(Range(1, 10, 20)) == {10, 19}
    answers.forget([10])
    assert answers.rows_of(Range(1, 10, 20)) == {19}
    assert answers.get(bytes([10] * 16)) is None
    assert answers.get(bytes([19] * 16)) == outcome(19)


def test_a_dropped_row_takes_no_other_rows_answer_along(answers):
    answers.put(ASKED, outcome(3))
    answers.put(ASKED, outcome(5))
    answers.forget([3])

    assert answers.get(ASKED) == outcome(5)


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=NAME):
        KnownAnswers(tmp_path / "missing", "run")


def test_a_file_damaged_in_use_is_removed_and_said(tmp_path):
    filled = KnownAnswers(tmp_path, "run")
    for row in range(2_000):
        filled.put(row.to_bytes(16, "big"), outcome(row, text="x" * 500))
    filled.close()
    opened = KnownAnswers(tmp_path, "run")
    with (tmp_path / NAME).open("r+b") as file:  # all but the first pages, which are in the cache
        file.seek(40_960)
        file.write(b"\xff" * ((tmp_path / NAME).stat().st_size - 40_960))
    with pytest.raises(StorageError, match="removed, and the next start makes it anew"):
        [opened.get(row.to_bytes(16, "big")) for row in range(2_000)]
    opened.close()

    assert not (tmp_path / NAME).exists()
