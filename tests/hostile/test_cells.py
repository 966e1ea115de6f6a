"""Ids, prompts, answers and names that nobody expects: carried through unharmed, and never raw on a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.bedrock.faults import Action, classify
from batchrun.records import Outcome, Status
from batchrun.screen.printable import in_one_line, printable
from batchrun.screen.summary import empty_summary, summary_text
from batchrun.screen.tally import MOST_CODES, Tally
from tests.cli.desk import EMULATED, FISH, JOB, Desk, invoke, lay

RAW = set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x200E, 0x202E, 0x2066, 0x2028])) | {"\ud800"}
SAID = "[[output_tokens=2]]"
EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202egnp"
IDS = [
    "../../etc/passwd",
    "a/b",
    "a\nb",
    "nul\0nul",
    "x" * 1_000_000,
    "",
    " ",
    EVIL,
    "'; drop table x; --",
    "=1+1",
    "\ufeff",
]


def rows_of(desk: Desk, table: pa.Table) -> Desk:
    pq.write_table(table, desk.path / "rows.parquet")
    return desk


def test_any_id_comes_out_as_it_went_in(tmp_path: Path) -> None:
    desk = rows_of(
        lay(tmp_path), pa.table({"id": IDS, "text": [f"Name fish {row}. {SAID}" for row in range(len(IDS))]})
    )
    result = desk.on_job("run")

    assert result.exit_code == 0, result.output
    assert [row["id"] for row in desk.rows()] == IDS
    assert desk.on_job("verify").exit_code == 0
    assert not set(result.output) & RAW
    assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet", "job.toml", "out"}


def test_repeated_hostile_ids_are_told_without_harm_to_the_terminal(tmp_path: Path) -> None:
    desk = rows_of(lay(tmp_path), pa.table({"id": [EVIL, EVIL, "x" * 1_000_000, "x" * 1_000_000], "text": FISH[:4]}))
    plan = desk.on_job("plan")

    assert "2 rows repeat the id" in plan.stdout
    assert not set(plan.output) & RAW
    assert len(plan.output) < 10_000
    desk.on_job("run")
    verify = desk.on_job("verify")
    assert verify.exit_code == 1
    assert not set(verify.output) & RAW
    assert len(verify.output) < 10_000


def test_kept_columns_of_any_name_are_carried_through(tmp_path: Path) -> None:
    names = ["a/b", "../up", "a\nb", EVIL, "<b>html</b>", "__proto__", "ROW", "ü" * 200]
    desk = lay(tmp_path)
    columns: dict[str, Any] = {"id": ["1", "2"], "text": FISH[:2]} | {name: ["x", "y"] for name in names}
    rows_of(desk, pa.table(columns))
    result = desk.on_job("run", "--set", f"input.keep={json.dumps(names, ensure_ascii=False)}")
    if result.exit_code == 2:  # TOML has no control characters but as escapes
        result = desk.on_job("run", "--set", f"input.keep={json.dumps(names)}")

    assert result.exit_code == 0, result.output
    assert [[row[name] for name in names] for row in desk.rows()] == [["x"] * len(names), ["y"] * len(names)]


def test_a_column_that_is_missing_is_told_beside_hostile_names(tmp_path: Path) -> None:
    desk = rows_of(lay(tmp_path), pa.table({"id": ["1"], EVIL: ["x"]}))
    for command in ("run", "plan", "verify"):
        result = desk.on_job(command)

        assert result.exit_code == 2
        assert "no column 'text'" in result.stderr
        assert not set(result.output) & RAW


@pytest.mark.parametrize("column", ["status", "row", "text", "answer", "error_message", "cost_usd"])
def test_a_kept_column_with_a_name_of_ours_is_refused(tmp_path: Path, column: str) -> None:
    result = lay(tmp_path).on_job("run", "--set", f"input.keep=['{column}']")

    assert result.exit_code == 2
    assert f"the result has a column {column} of its own" in result.stderr


def test_a_prompt_that_is_no_unicode_is_an_error_of_its_row(tmp_path: Path) -> None:
    desk = lay(
        tmp_path,
        [*FISH[:2]],
        JOB.replace("{{ text }}", "{{ text }}{{ '\\\\ud800' if id == 'id-1' else '' }}") + EMULATED,
    )
    result = desk.on_job("run")

    assert [row["status"] for row in desk.rows()] == ["ok", "unsendable"]
    assert "not Unicode: surrogates not allowed" in result.stdout


def test_text_that_is_no_utf_8_in_a_parquet_file_is_an_error_of_its_row(tmp_path: Path) -> None:
    broken = pa.array([FISH[0].encode(), b"\xff\xfe \xed\xa0\x80", FISH[2].encode()], pa.binary()).view(pa.string())
    desk = rows_of(lay(tmp_path), pa.table({"id": ["a", "b", "c"], "text": broken}))
    result = desk.on_job("run")

    assert result.exit_code == 1, result.output
    assert [row["status"] for row in desk.rows()] == ["ok", "unsendable", "ok"]


def test_control_characters_of_an_answer_are_data_and_not_for_the_terminal() -> None:
    tally = Tally(0.0)
    tally.recorded(Outcome(7, Status.FAILED, error_code=EVIL, error_message=f"{EVIL}\n  note        all is well"))
    told = empty_summary() | {
        "exit_code": 1,
        "reason": f"stopped {EVIL}",
        "examples": [
            {
                "status": one.status,
                "error_code": one.error_code,
                "row": one.row,
                "message": one.message,
                "rows": one.rows,
            }
            for one in tally.examples()
        ],
        "faults": {EVIL: 3},
        "notes": [EVIL],
        "max_tokens": {"learnt": None, "advice": None},
        "wall_s": 1.0,
    }
    text = summary_text(told)

    assert not set(text) & RAW
    assert "\n  note        all is well" not in text  # no line of ours can be forged
    assert "\\x1b[2J" in text


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_moves_a_cursor_is_printed(text: str) -> None:
    assert not set(printable(text)) & RAW
    assert not set(in_one_line(text)) & (RAW | {"\n", "\t"})
    printable(text).encode()  # half surrogates would end the command


def test_ordinary_text_is_printed_as_it_is() -> None:
    text = "naïve 北京 👩‍👩‍👧 ≤ «ok»\n\tשלום"

    assert printable(text) == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_shows_escapes(tmp_path: Path, encoding: str) -> None:
    desk = lay(tmp_path)
    command = [sys.executable, "-m", "batchrun", "plan", str(desk.job), "--set", "quota.share=2"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=30, check=False)

    assert ended.returncode == 2
    assert b"must be \\u2264 1" in ended.stderr


def test_an_unbounded_variety_of_fault_codes_does_not_grow_memory() -> None:
    tally = Tally(0.0)
    lane: Any = object()
    for number in range(10_000):
        tally.faulted(lane, classify(f"Strange{number}Exception", 500, ""))

    assert len(tally.faults) <= MOST_CODES + 1
    assert tally.faults.total() == 10_000


@pytest.mark.parametrize("code", ["x" * 65, EVIL, "a b", "<b>", "", "500"])
def test_a_code_that_is_no_name_is_told_by_its_status(code: str) -> None:
    fault = classify(code, 500, "")

    assert (fault.code, fault.action) == ("HTTP 500", Action.RETRY)


# Paths


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/b", "..", ".hidden", "a\\nb", "nul\\u0000", "x" * 101, "\\u001b[2J"]
)
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    result = lay(tmp_path, job=JOB.replace('"desk"', f'"{name}"') + EMULATED).on_job("run")

    assert result.exit_code == 2
    assert ": name = " in result.stderr
    assert not set(result.output) & RAW


def test_a_path_that_climbs_is_taken_as_it_is_written_and_nothing_else_is_touched(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    desk = lay(inner)
    result = desk.on_job("run", "--set", 'output.path="../beside/./x/../out"')

    assert result.exit_code == 0, result.output
    assert (tmp_path / "beside" / "out" / "_SUCCESS").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"inner", "beside"}


@pytest.mark.parametrize("path", [".", "..", "rows.parquet", "rows.parquet/x"])
def test_an_output_on_top_of_its_input_is_refused(tmp_path: Path, path: str) -> None:
    desk = lay(tmp_path)
    before = (tmp_path / "rows.parquet").read_bytes()
    result = desk.on_job("run", "--set", f'output.path="{path}"', "--fresh")

    assert result.exit_code == 2, result.output
    assert "output.path" in result.stderr
    assert (tmp_path / "rows.parquet").read_bytes() == before


def test_folders_of_partitions_with_encoded_slashes_are_values_and_no_paths(tmp_path: Path) -> None:
    desk = lay(
        tmp_path, job=JOB.replace('"rows.parquet"', '"in"').replace('id = "id"', 'keep = ["day", "k/../k"]') + EMULATED
    )
    folder = tmp_path / "in" / "day=..%2F..%2Fetc%00" / "k%2F..%2Fk=%1B%5B2J"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"text": FISH[:1]}), folder / "a.parquet")
    result = desk.on_job("run")

    assert result.exit_code == 0, result.output
    assert [(row["day"], row["k/../k"]) for row in desk.rows()] == [("../../etc\0", "\x1b[2J")]
    assert not set(result.output) & RAW


def test_an_output_whose_data_folder_is_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    desk = lay(tmp_path)
    desk.folder.path.mkdir()
    desk.folder.data.symlink_to(tmp_path / "gone" / "away")
    result = desk.on_job("run")

    assert result.exit_code in {2, 4}, result.output
    assert "out" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_of_others_behind_a_link_is_not_taken_for_an_output(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious.txt").write_text("mine")
    desk = lay(tmp_path)
    desk.folder.path.symlink_to(others)
    result = desk.on_job("run", "--fresh")

    assert result.exit_code == 2
    assert "holds files and no batchrun manifest" in result.stderr
    assert (others / "precious.txt").read_text() == "mine"


def test_a_linked_tmp_folder_is_not_emptied_of_others_files(tmp_path: Path) -> None:
    desk = lay(tmp_path)
    desk.on_job("run")
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious.txt").write_text("mine")
    desk.folder.tmp.rmdir()
    desk.folder.tmp.symlink_to(others)
    desk.folder.success.unlink()
    desk.on_job("run")

    assert (others / "precious.txt").exists()


def test_a_job_whose_file_has_a_hostile_name_is_told(tmp_path: Path) -> None:
    result = invoke("run", str(tmp_path / f"{EVIL}.toml"))

    assert result.exit_code == 2
    assert not set(result.output) & RAW
