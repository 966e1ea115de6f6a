"""JSON Lines and CSV that are none, or hold what nobody expects: the line is named, or the text is carried through."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.cells import rows_of
from batchrun.errors import InputError
from batchrun.storage.source import scan
from tests.refusal import refusal_of

HUGE = 20_000_000
FEW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def rows(folder: Path, name: str, content: bytes) -> list[Any]:
    (folder / name).write_bytes(content)
    source = scan([name], folder)
    return [row for batch in source.read(source.schema.names, 0, source.rows) for row in rows_of(batch.batch)]


def refusal(folder: Path, name: str, content: bytes) -> str:
    where, message = f"{folder / name}: ", refusal_of(InputError, rows, folder, name, content)
    assert message.startswith(where)
    return message.removeprefix(where)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a":"x\x00y"}', "line 1: not JSON: Invalid control character"),
        (b'{"a":1}\n{"a":"\xff"}', "line 2: not UTF-8 at byte 7 of the line"),
        ('{"a":1}'.encode("utf-16"), "line 1: not a JSON object"),
        (b'{"a":"\\ud800"}', "line 1: JSON parse error: The surrogate pair in string is invalid"),
        (b'{"a":1,"a":2}', "line 1: JSON parse error: Column(/a) was specified twice"),
        (b'{"a":1}\n{"a":"x"}', "line 2: JSON parse error: Column(/a) changed from number to string"),
        (b'{"a":[1]}\n{"a":{}}', "line 2: JSON parse error: Column(/a) changed from array to object"),
        (b'{"a":1}\n[1]', "line 2: not a JSON object"),
        (b"null", "line 1: not a JSON object"),
        (b'{"a":1}{"a":2}', "line 1: not JSON: Extra data"),
        (b'{"a":1}\n{"a":', "line 2: not a JSON object"),
        (b'{"a":1e999}', "line 1: JSON parse error: Number too big"),
        (b'{"a":01}', "line 1: not JSON"),
        (b'{"a":' + b"[" * 101 + b"]" * 101 + b"}", "line 1: objects and lists are nested more than 100 deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "line 1: objects and lists are nested more than 100 deep"),
        (b"x" * HUGE, "line 1: not a JSON object"),
    ],
)
def test_json_lines_that_are_none_are_refused_by_their_line(tmp_path: Path, content: bytes, told: str) -> None:
    assert refusal(tmp_path, "x.jsonl", content).startswith(told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b\n1\n", "row 2 (the header is row 1) has 1 fields, the header has 2"),
        (b'a,b\n"x,2\ny,3\n', "row 2 (the header is row 1) has 1 fields"),
        (b'a,b\n"' + b"x,y\n" * 100_000, "row 2 (the header is row 1) has 1 fields"),
        (b"a\nok\n\xff\n", "not UTF-8 at byte 6"),
        (b"a\n\xc3", "not UTF-8 at byte 3"),
        (b"a\n" + b"x" * 300_000 + b"\xff", "not UTF-8 at byte 300003"),
        ("a\n1\n".encode("utf-16"), "not UTF-8 at byte 1"),
        (bytes(range(256)) * 50, "not UTF-8 at byte 129"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"x" * 200_000 + b"\n1\n", "the header is not CSV in UTF-8: field larger than field limit"),
    ],
)
def test_csv_that_does_not_hold_together_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    assert refusal(tmp_path, "x.csv", content).startswith(told)


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("x.jsonl", b'{"a":"x\\u0000y"}', "x\0y"),
        ("x.jsonl", b'\xef\xbb\xbf{"a":"x"}\r\n', "x"),
        ("x.jsonl", '{"a":"x\u2028y"}'.encode(), "x\u2028y"),
        ("x.jsonl", b'{"a":"\\u001b[31m"}', "\x1b[31m"),
        ("x.jsonl", b'{"a":"' + b"[{" * 1_000 + b'"}', "[{" * 1_000),
        ("x.jsonl", b'{"a":"' + b"x" * HUGE + b'"}', "x" * HUGE),
        ("x.csv", b"a,b\nx\x00y,2\n", "x\0y"),
        ("x.csv", b'a,b\nx"y,2\n', 'x"y'),
        ("x.csv", b'\xef\xbb\xbfa\n"x\r\ny"\n', "x\r\ny"),
        ("x.csv", b"a\n\x1b[31m\n", "\x1b[31m"),
        ("x.csv", b'a\n"' + b"x\n" * (HUGE // 2) + b'"\n', "x\n" * (HUGE // 2)),
    ],
)
def test_strange_text_is_carried_through(tmp_path: Path, name: str, content: bytes, value: str) -> None:
    ((row),) = rows(tmp_path, name, content)

    assert row["a"] == value


def test_nan_and_infinity_are_numbers(tmp_path: Path) -> None:
    lines = b'{"a":Infinity}\n{"a":-Infinity}\n{"a":NaN}\n'

    assert repr(rows(tmp_path, "x.jsonl", lines)) == "[{'a': inf}, {'a': -inf}, {'a': nan}]"


def test_a_fault_does_not_quote_the_rows_text(tmp_path: Path) -> None:
    for name, content in (("x.csv", b"a\nmy secret,2\n"), ("x.jsonl", b'{"a":"my secret"}\n{"a": my secret}')):
        assert "secret" not in refusal(tmp_path, name, content)


@FEW
@given(st.binary(max_size=80), st.sampled_from(["x.jsonl", "x.csv"]))
def test_any_bytes_are_rows_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    for whole in (content, b'{"a":"' + content + b'"}', b"a,b\n" + content + b",2\n"):
        try:
            rows(folder, name, whole)
        except InputError as error:
            told = str(error)
        else:
            continue
        assert name in told
