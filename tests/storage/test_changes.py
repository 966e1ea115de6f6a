"""Which changes of the input an output puts up with, and what is said of the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.storage.changes import check_changes, input_changes
from batchrun.storage.manifest import Manifest
from batchrun.storage.source import Source, SourceFile
from tests.storage.outputs import Made, make


@pytest.fixture
def file(tmp_path: Path) -> SourceFile:
    """A file of 10 rows."""
    (one,) = make(tmp_path).source.files
    return one


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


def named(file: SourceFile, *names: str) -> list[SourceFile]:
    return [replace(file, name=name) for name in names]


def output_of(made: Made, files: list[SourceFile], gone: tuple[str, ...] = ()) -> Manifest:
    return replace(made.manifest, files=tuple(files), gone=gone)


def now(made: Made, files: list[SourceFile], missing: tuple[str, ...] = ()) -> Source:
    return Source(made.source.base, files, missing)


def _never(_first_row: int, _stop_row: int) -> bool:
    return False


def test_missing_and_changed_files_are_told_apart_and_new_ones_are_welcome(made: Made, file: SourceFile) -> None:
    before = named(file, "a", "b", "c")
    after = [before[0], replace(before[1], size_bytes=7, rows=1), before[2], *named(file, "d")]

    assert input_changes(output_of(made, before), now(made, after, ("c",))) == [
        f"input file b: changed (10 rows, {file.size_bytes} bytes before; 1 rows, 7 bytes now)",
        "input file c: missing",
    ]


def test_a_new_time_of_change_alone_is_no_change(made: Made, file: SourceFile) -> None:
    assert input_changes(output_of(made, [file]), now(made, [replace(file, mtime_ns=1)])) == []


def test_a_file_whose_absence_was_accepted_is_no_change(made: Made, file: SourceFile) -> None:
    (gone,) = named(file, "a")

    assert input_changes(output_of(made, [gone], gone=("a",)), now(made, [gone], ("a",))) == []


def test_hundreds_of_missing_files_make_few_lines(made: Made, file: SourceFile) -> None:
    names = tuple(f"{number:03d}" for number in range(300))
    before = named(file, *names)
    lines = input_changes(output_of(made, before), now(made, before, names))

    assert len(lines) == 21
    assert lines[-1] == "and 280 further input files"


def test_what_is_not_accepted_is_named_with_the_ways_out(made: Made, file: SourceFile) -> None:
    (gone,) = named(file, "a")
    with pytest.raises(InputError) as told:
        check_changes(
            "out", output_of(made, [gone]), now(made, [gone], ("a",)), lambda *_: False, lambda *_: False, accept=False
        )

    assert str(told.value) == (
        "out: the input is not what it was:\n"
        "  input file a: missing\n"
        "Put it back, or start anew with --fresh (it moves the old output aside), or go on with "
        "--accept-input-changes: results that are there stay as they are, rows without one are read from the files of "
        "now."
    )


def test_a_missing_file_is_accepted_only_once_its_rows_are_done(made: Made, file: SourceFile) -> None:
    files = named(file, "a", "b")
    asked: list[tuple[int, int]] = []

    def unfinished(first_row: int, stop_row: int) -> bool:
        asked.append((first_row, stop_row))
        return len(asked) == 2

    output, source = output_of(made, files), now(made, files, ("b",))
    assert check_changes("out", output, source, unfinished, _never, accept=True) == ["b"]
    with pytest.raises(InputError, match="b: missing, and rows 10 to 19 are not all done: put it back"):
        check_changes("out", output, source, unfinished, _never, accept=True)
    assert asked == [(10, 20), (10, 20)]


def test_a_changed_file_is_accepted_only_with_as_many_rows_as_before(made: Made, file: SourceFile) -> None:
    (other,) = [replace(file, digest="another")]
    longer = replace(other, rows=11)

    def check(found: SourceFile) -> list[str]:
        return check_changes(
            "out", output_of(made, [file]), now(made, [found]), lambda *_: True, lambda *_: begun, accept=True
        )

    begun = False
    assert check(other) == [file.name]
    with pytest.raises(InputError, match="with another number of rows, all behind it would change their numbers"):
        check(longer)
    begun = True
    with pytest.raises(InputError, match="some of rows 0 to 9 are answered and have no part yet"):
        check(other)
