"""Data sets that grow: only new rows are sent, and a change of the old ones is never passed over in silence."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import run, verify
from batchrun.errors import InputError
from batchrun.jobspec import JobSpec
from batchrun.readyjob import ReadyJob
from batchrun.records import Status
from tests.run.rehearsal import Rehearsal, job_over, rehearse


def write(folder: Path, name: str, numbers: Iterable[int], kind: pa.DataType | None = None) -> None:
    folder.mkdir(exist_ok=True)
    rows = list(numbers)
    columns = {
        "text": [f"{row} [[output_tokens=2]]" for row in rows],
        "n": pa.array(rows, kind or pa.int64()),
    }
    pq.write_table(pa.table(columns), folder / name)


def spec(base: Path, **changes: dict[str, object]) -> JobSpec:
    return job_over(
        base, "rows", **{"input": {"path": "rows", "keep": ["n"]}, "output": {"rows_per_part": 4}, **changes}
    )


@pytest.fixture
def done(tmp_path: Path) -> Rehearsal:
    """A finished run over files a (5 rows) and c (3)."""
    write(tmp_path / "rows", "a.parquet", range(5))
    write(tmp_path / "rows", "c.parquet", range(20, 23))
    ended = rehearse(spec(tmp_path))
    assert (ended.code, ended.calls) == (0, 8)
    return ended


def parts(of: JobSpec) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (of.output.path / "data").iterdir()}


def test_rows_of_new_files_alone_are_sent_whatever_their_name(done: Rehearsal, tmp_path: Path) -> None:
    before = parts(done.spec)
    write(tmp_path / "rows", "b.parquet", range(10, 16))
    ended = rehearse(spec(tmp_path), done.transport)

    assert (ended.code, ended.calls, ended.summary["resumed"]) == (0, 14, 8)
    assert [row["n"] for row in ended.rows()] == [*range(5), *range(20, 23), *range(10, 16)]
    assert before.items() <= parts(done.spec).items()
    assert verify(done.spec) == []


def test_what_verify_says_before_the_new_rows_have_run(done: Rehearsal, tmp_path: Path) -> None:
    write(tmp_path / "rows", "b.parquet", range(2))

    assert verify(done.spec) == [
        "rows 8 to 9 have no result: the last run took on 8 rows; run again, without a limit, or verify with --limit 8"
    ]


def test_a_finished_job_run_again_sends_nothing_and_succeeds(done: Rehearsal, tmp_path: Path) -> None:
    ended = rehearse(spec(tmp_path), done.transport)

    assert (ended.code, ended.calls, ended.succeeded) == (0, 8, True)


def test_a_missing_file_whose_rows_are_done_can_be_accepted_for_good(done: Rehearsal, tmp_path: Path) -> None:
    (tmp_path / "rows" / "a.parquet").unlink()
    write(tmp_path / "rows", "d.parquet", range(30, 32))

    with pytest.raises(InputError, match=r"a\.parquet: missing"):
        rehearse(spec(tmp_path), done.transport)
    ended = rehearse(spec(tmp_path), done.transport, accept_input_changes=True)
    again = rehearse(spec(tmp_path), done.transport)

    assert (ended.code, again.code, ended.calls, again.calls) == (0, 0, 10, 10)
    assert [row["n"] for row in again.rows()] == [*range(5), *range(20, 23), 30, 31]
    assert verify(done.spec) == []


def test_a_changed_file_is_accepted_with_its_old_results(done: Rehearsal, tmp_path: Path) -> None:
    before = parts(done.spec)
    write(tmp_path / "rows", "a.parquet", range(40, 45))

    with pytest.raises(InputError, match=r"a\.parquet: changed"):
        rehearse(spec(tmp_path), done.transport)
    ended = rehearse(spec(tmp_path), done.transport, accept_input_changes=True)

    assert (ended.code, ended.calls, parts(done.spec)) == (0, 8, before)
    assert verify(done.spec) == []


def test_rows_without_a_result_are_read_from_the_changed_file(tmp_path: Path) -> None:
    write(tmp_path / "rows", "a.parquet", range(8))
    first = rehearse(spec(tmp_path, limits={"rows": 4}))
    write(tmp_path / "rows", "a.parquet", range(50, 58))
    ended = rehearse(spec(tmp_path), first.transport, accept_input_changes=True)

    assert [row["n"] for row in ended.rows()] == [*range(4), *range(54, 58)]


def test_a_missing_file_with_rows_to_send_is_refused_in_spite_of_the_flag(tmp_path: Path) -> None:
    write(tmp_path / "rows", "a.parquet", range(8))
    write(tmp_path / "rows", "b.parquet", range(4))
    first = rehearse(spec(tmp_path, limits={"rows": 10}))
    shutil.move(tmp_path / "rows" / "b.parquet", tmp_path / "b.parquet")

    with pytest.raises(InputError, match="cannot accept this"):
        rehearse(spec(tmp_path), first.transport, accept_input_changes=True)
    shutil.move(tmp_path / "b.parquet", tmp_path / "rows" / "b.parquet")
    assert rehearse(spec(tmp_path), first.transport).code == 0


def test_new_files_that_change_the_type_of_a_carried_column_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "rows", "a.parquet", range(4), pa.int32())
    first = rehearse(spec(tmp_path))
    write(tmp_path / "rows", "b.parquet", range(4), pa.int64())

    with pytest.raises(InputError, match="input column 'n' was int32 and is int64 with the files of now"):
        rehearse(spec(tmp_path), first.transport)


def test_a_scan_that_another_run_overtook_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two starts, one scans before a file arrives, and the other has fixed the order by the time of its lock."""
    write(tmp_path / "rows", "c.parquet", range(20, 24))
    scan = ReadyJob.scan_input
    overtaken: list[int] = []

    def slow(ready: ReadyJob, *given: object, **named: object) -> object:
        if overtaken:
            return scan(ready, *given, **named)  # type: ignore[arg-type]
        overtaken.append(1)
        assert run(spec(tmp_path, emulator={"latency_s": 0}))["exit_code"] == 0
        write(tmp_path / "rows", "b.parquet", range(4))
        (tmp_path / "out" / "manifest.json").rename(tmp_path / "kept")
        found = scan(ready, *given, **named)  # type: ignore[arg-type] -- as if it had begun before the other's manifest
        (tmp_path / "kept").rename(tmp_path / "out" / "manifest.json")
        return found

    monkeypatch.setattr(ReadyJob, "scan_input", slow)
    ended = rehearse(spec(tmp_path))

    assert [row["n"] for row in ended.rows()] == [*range(20, 24), *range(4)]
    assert verify(ended.spec) == []


def test_a_link_to_nowhere_among_the_parts_does_not_hide_them(done: Rehearsal, tmp_path: Path) -> None:
    (tmp_path / "out" / "data" / ".#part-000000.parquet").symlink_to("nowhere")
    ended = rehearse(spec(tmp_path), done.transport)

    assert (ended.code, ended.calls) == (0, 8)


def test_rows_are_not_sent_again_from_a_file_that_is_another_by_now(tmp_path: Path) -> None:
    write(tmp_path / "rows", "a.parquet", range(8))
    dead = {"tpm": 60_000, "outages": [{"region": "us-east-1", "kind": "InternalServerException", "from_s": 0}]}
    limits = {"max_failed": 1.0}
    first = rehearse(spec(tmp_path, emulator=dead, limits=limits, retry={"max_attempts": 1}))
    write(tmp_path / "rows", "a.parquet", range(50, 58))
    rehearse(spec(tmp_path, limits=limits), first.transport, accept_input_changes=True)

    with pytest.raises(InputError, match=r"rows 0 to 3 cannot be sent again: input file .*a\.parquet has changed"):
        rehearse(spec(tmp_path, limits=limits), first.transport, again=[Status.FAILED])
