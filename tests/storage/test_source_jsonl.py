"""JSON Lines: columns of all lines together, text stays text, and errors name the line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import InputError
from batchrun.storage.source import scan
from tests.refusal import refusal_of

ROW_OF_1_KB = b'{"n": 1, "pad": "' + b"x" * 1000 + b'"}\n'
ROW_OF_1_MB = b'{"n": 1, "pad": "' + b"x" * 1_100_000 + b'"}\n'  # a block of its own


def rows(folder: Path, content: bytes, *columns: str) -> list[dict[str, Any]]:
    (folder / "a.jsonl").write_bytes(content)
    source = scan(["a.jsonl"], folder)
    return [row for batch in source.read(columns, 0, source.rows) for row in batch.batch.to_pylist()]


def refusal(folder: Path, content: bytes) -> str:
    (folder / "a.jsonl").write_bytes(content)
    return refusal_of(InputError, scan, ["a.jsonl"], folder)


def test_a_missing_key_is_null(tmp_path: Path) -> None:
    assert rows(tmp_path, b'{"a": 1}\n{"b": "x", "c": [1]}\n', "b", "a") == [{"b": None, "a": 1}, {"b": "x", "a": None}]


def test_what_looks_like_a_date_stays_text_at_any_depth(tmp_path: Path) -> None:
    row = {"d": "2024-01-01", "l": ["2024-01-01T00:00:00Z"], "s": {"x": [{"y": "2024-01-01 00:00:00"}]}}

    assert rows(tmp_path, json.dumps(row).encode(), "d", "l", "s") == [row]


def test_blank_lines_marks_and_a_missing_last_newline_are_fine(tmp_path: Path) -> None:
    assert rows(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}', "a") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_lines_is_empty(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content, "a") == []


def test_empty_objects_are_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, b'{}\n{"a": null}\n{}\n', "a") == [{"a": None}] * 3


def test_columns_that_come_late_belong_to_all_rows(tmp_path: Path) -> None:
    content = ROW_OF_1_KB * 1500 + b'{"n": 1.5, "late": {"x": 1}}\n' + ROW_OF_1_KB * 1500 + b'{"late": {"y": "z"}}\n'
    found = rows(tmp_path, content, "n", "late")

    assert len(found) == 3002
    assert found[0] == {"n": 1.0, "late": None}
    assert found[1500] == {"n": 1.5, "late": {"x": 1, "y": None}}
    assert found[-1] == {"n": None, "late": {"x": None, "y": "z"}}


def test_a_line_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    content = b'{"a": "1"}\n' + json.dumps({"a": long}).encode() + b'\n{"a": "3"}\n'

    assert rows(tmp_path, content, "a") == [{"a": "1"}, {"a": long}, {"a": "3"}]


def test_rows_in_the_middle_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {row}, "pad": "{"x" * 500}"}}\n\n' for row in range(5_000)))
    batches = list(scan(["a.jsonl"], tmp_path).read(["n"], 4_000, 4_003))

    assert [batch.first_row for batch in batches] == [4_000]
    assert batches[0].batch.column(0).to_pylist() == [4_000, 4_001, 4_002]


@pytest.mark.parametrize(
    "value",
    ["9223372036854775809", "-9223372036854775809", "123456789012345678901234567891", "[1, 18446744073709551615]",
     '{"x": [{"y": 18446744073709551615}]}', "9007199254740993"],
)  # fmt: skip
def test_an_integer_that_would_be_rounded_is_refused_by_line_and_column(tmp_path: Path, value: str) -> None:
    """9007199254740993 fits 64 bits; it is the fraction in its column that would have it rounded."""
    fraction = b'{"id": 0.5}\n' if value == "9007199254740993" else b"\n"
    message = refusal(tmp_path, fraction + b'{"id": ' + value.encode() + b"}\n")

    digits = max(len(word) for word in re.findall("[0-9]+", value))
    assert f"a.jsonl: line 2: column 'id' holds an integer of {digits} digits that would be rounded" in message
    assert message.endswith("put it in quotes, and it is text")


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 2**64, 10**20, 123456789012345680000, "123456789012345678901", [2**70]]
)
def test_an_integer_that_is_read_as_it_was_written_is_welcome(tmp_path: Path, value: Any) -> None:
    """Other languages write doubles so: 123456789012345680000 is 123456789012345683968 to the bit."""
    [row] = rows(tmp_path, json.dumps({"a": value}).encode(), "a")
    read = row["a"]

    assert read == (float(value) if isinstance(value, int) and abs(value) > 2**63 else value)
    assert type(read) is (float if isinstance(value, int) and abs(value) > 2**63 else type(value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1}\n\nnope\n', "line 3: not a JSON object"),
        (b'{"a": 1}\nnull\n', "line 2: not a JSON object"),  # pyarrow alone crashes here
        (b"[1]\n", "line 1: not a JSON object"),
        (b'{"a": 1}\n{"a": secret}\n', "line 2: not JSON: Expecting value at character 7"),
        (b'{"a": 1}{"a": 2}\n', "line 1: not JSON: Extra data"),
        (b'{"a":\n1}\n', "line 1: not a JSON object"),
        (b'{"a": "\xff"}\n', "line 1: not UTF-8 at byte 8"),
        (b'{"a": 1}\n{"a": "\\ud800"}\n', "line 2: JSON parse error"),
        (b'{"a": 1}\n\n{"a": "x"}\n', "line 3: JSON parse error: Column(/a) changed from number to string"),
        (ROW_OF_1_MB + b'{"n": "x"}\n', "lines 2 to 2: column 'n' is string, before it was int64"),
        (ROW_OF_1_KB * 3000 + b"{]}\n", "line 3001: not JSON"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    message = refusal(tmp_path, content)

    assert message.startswith(f"{tmp_path / 'a.jsonl'}: ")
    assert words in message
    assert "secret" not in message
