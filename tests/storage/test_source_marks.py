"""Marks: a stretch of a large text file is read from close by, not from the file's start."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.storage.source import Source, SourceFile, scan

MARK_EVERY = 50_000
ROWS = 20_000


@pytest.fixture(autouse=True)
def small_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("csv_marks", "json_lines"):
        monkeypatch.setattr(f"batchrun.storage.source.{module}.MARK_EVERY_BYTES", MARK_EVERY)
    monkeypatch.setattr("batchrun.storage.source.json_lines.BLOCK_BYTES", 10_000)


def text_of(row: int) -> str:
    return f'row {row}, "quoted"\r\nand\nover lines' if row % 7 == 0 else f"row {row}"


def jsonl(path: Path) -> None:
    lines = [json.dumps({"id": str(row), "text": text_of(row)}) + "\n" * (1 + row % 3) for row in range(ROWS)]
    path.write_text("\ufeff" + "".join(lines), encoding="utf-8")


def csv(path: Path) -> None:
    quoted = [text_of(row).replace('"', '""') for row in range(ROWS)]
    lines = [f'{row},"{text}"' + "\n" * (1 + row % 3) for row, text in enumerate(quoted)]
    path.write_text("\ufeffid,text\r\n" + "".join(lines), encoding="utf-8", newline="")


WRITERS = {"a.jsonl": jsonl, "a.csv": csv}


def read(source: Source, first: int, stop: int) -> list[tuple[Any, ...]]:
    return [
        tuple(row.values()) for batch in source.read(["id", "text"], first, stop) for row in batch.batch.to_pylist()
    ]


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_a_stretch_reads_the_same_from_a_mark_as_from_the_start(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    source = scan([name], tmp_path)
    marks = source.files[0].marks

    size_bytes = (tmp_path / name).stat().st_size
    assert size_bytes // MARK_EVERY - 2 <= len(marks) <= size_bytes // MARK_EVERY
    for row, _ in (*marks, (0, 0), (ROWS - 5, 0)):
        for first in (row - 1, row, row + 1):
            if 0 <= first < ROWS - 3:
                assert read(source, first, first + 3) == [(str(at), text_of(at)) for at in range(first, first + 3)]


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_what_lies_before_the_mark_is_not_read(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    path = tmp_path / name
    write(path)
    source = scan([name], tmp_path)
    row, first_byte = source.files[0].marks[3]
    about = path.stat()
    head = path.read_bytes()[:12]  # a byte order mark and the names of the columns
    with path.open("r+b") as file:
        file.write(head + b"x" * (first_byte - len(head) - 1))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

    assert read(source, row, row + 2) == [(str(at), text_of(at)) for at in (row, row + 1)]


@pytest.mark.parametrize(("name", "write"), WRITERS.items())
def test_marks_survive_the_manifest_and_are_few(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    [file] = scan([name], tmp_path).files

    assert file.marks
    assert SourceFile.from_json(json.loads(json.dumps(file.to_json()))) == file


def test_a_small_file_has_no_marks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')

    assert [file.marks for file in scan(["a.csv", "a.jsonl"], tmp_path).files] == [(), ()]
    assert "marks" not in scan(["a.csv"], tmp_path).files[0].to_json()


def test_a_quote_within_an_unquoted_field_misleads_no_mark(tmp_path: Path) -> None:
    rows = [f'{row},5" pipe' if row % 5 == 0 else f'{row},"over\nlines, ""{row}"""' for row in range(ROWS)]
    (tmp_path / "a.csv").write_text("id,text\n" + "\n".join(rows) + "\n")
    source = scan(["a.csv"], tmp_path)

    assert source.rows == ROWS
    for row, _ in source.files[0].marks:
        assert read(source, row, row + 1) == [(str(row), '5" pipe' if row % 5 == 0 else f'over\nlines, "{row}"')]


def test_where_two_parsers_disagree_reading_begins_at_the_start(tmp_path: Path) -> None:
    # To pyarrow a lone carriage return ends a row, to Python's parser it is an error.
    (tmp_path / "a.csv").write_text("text\n" + "".join(f"{row}\r{row}b\n" for row in range(ROWS)), newline="")
    source = scan(["a.csv"], tmp_path)
    [batch] = source.read(["text"], 2 * ROWS - 1, 2 * ROWS)

    assert (source.rows, source.files[0].marks) == (2 * ROWS, ())
    assert batch.batch.to_pylist() == [{"text": f"{ROWS - 1}b"}]


PIECES = ["a", "b", '"', '""', ",", "\n", "\r\n", "\r", "é", '"x"', '"y\nz"', "\n\n", '"q"z']


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rest=st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_text_misleads_a_mark(tmp_path_factory: pytest.TempPathFactory, rest: str) -> None:
    folder = tmp_path_factory.mktemp("csv")
    (folder / "a.csv").write_text(f"id,text\n1,x\n{rest}", newline="", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchrun.storage.source.csv_marks.MARK_EVERY_BYTES", 6)
        try:
            source = scan(["a.csv"], folder)
        except InputError:
            return  # rows of different widths, mostly
    whole = read(source, 0, source.rows)
    for row, _ in source.files[0].marks:
        assert read(source, row, source.rows) == whole[row:]
