"""CSV: everything is text, and a file that does not hold together is refused."""

from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.storage.source import scan
from tests.refusal import refusal_of


def rows(folder: Path, content: bytes, *columns: str) -> list[tuple[str, ...]]:
    (folder / "a.csv").write_bytes(content)
    source = scan(["a.csv"], folder)
    return [tuple(row.values()) for batch in source.read(columns, 0, source.rows) for row in batch.batch.to_pylist()]


def refusal(folder: Path, content: bytes) -> str:
    (folder / "a.csv").write_bytes(content)
    return refusal_of(InputError, scan, ["a.csv"], folder)


def test_every_field_is_text_and_none_is_null(tmp_path: Path) -> None:
    content = b'id,date,empty,na\n007,2024-01-01,,NA\n1.50,true,"",null\n'

    assert rows(tmp_path, content, "id", "date", "empty", "na") == [
        ("007", "2024-01-01", "", "NA"),
        ("1.50", "true", "", "null"),
    ]


def test_quoted_fields_hold_newlines_commas_and_quotes(tmp_path: Path) -> None:
    assert rows(tmp_path, b'a,b\n1,"x\ny, ""z"""\n2,"p\n"\n', "b") == [('x\ny, "z"',), ("p\n",)]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    assert rows(tmp_path, b"\xef\xbb\xbfa,b\r\n1,2\r\n", "a", "b") == [("1", "2")]


def test_blank_lines_and_a_missing_last_newline_are_fine(tmp_path: Path) -> None:
    assert rows(tmp_path, b"a,b\n\n1,2\n\n3,4", "a") == [("1",), ("3",)]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b", b"a,b\n", b"a,b\r\n\r\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_empty(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content) == []


def test_a_row_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = b"x" * 3_000_000
    found = rows(tmp_path, b"a,b\n" + b"1,2\n" * 100_000 + b"1," + long + b"\n3,4\n", "b")

    assert len(found) == 100_002
    assert found[-2:] == [(long.decode(),), ("4",)]


def test_rows_in_the_middle_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n" + "".join(f"{row}\n" for row in range(10_000)))
    batches = list(scan(["a.csv"], tmp_path).read(["n"], 7_000, 7_003))

    assert [batch.first_row for batch in batches] == [7_000]
    assert batches[0].batch.column(0).to_pylist() == ["7000", "7001", "7002"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b,a\n1,2,3\n", "two columns are called 'a'"),
        (b"a,b\n1,2\nsecret\n", "row 3 (the header is row 1) has 1 fields, the header has 2"),
        (b"a,b\n" + b"1,2\n" * 200_000 + b"1,2,3\n", "row 200002 (the header is row 1) has 3 fields"),
        (b"a,b\n\xff,2\n", "not UTF-8 at byte 5"),
        (b"a\xff,b\n1,2\n", "not UTF-8 at byte 2"),
        (b'a,b\n1,2\n3,"never closed\n5,6\n', "the last field of row 3 is never closed"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    message = refusal(tmp_path, content)

    assert message.startswith(f"{tmp_path / 'a.csv'}: ")
    assert words in message
    assert "secret" not in message
