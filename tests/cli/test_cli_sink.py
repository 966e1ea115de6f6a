"""sink on the command line, and what run and verify say of sinks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchrun.sinks import deliveries
from batchrun.storage.lock import FolderLock
from tests.cli.desk import EMULATED, JOB, Desk, lay, told

LINES = '[[sink]]\ntype = "jsonl"\npath = "lines"\nname = "lines"\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a job of 3 parts with a sink."""
    return lay(tmp_path, job=JOB + EMULATED + LINES)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the last tries follow at once; how they wait is tested on a virtual clock."""
    monkeypatch.setattr(deliveries, "FIRST_WAIT_S", 0.01)


def block(desk: Desk) -> Path:
    """Put a file where the sink wants its folder."""
    blocked = desk.path / "lines"
    blocked.write_text("")
    return blocked


def test_a_run_says_what_it_delivered(desk: Desk) -> None:
    result = desk.on_job("run", "--quiet")

    assert result.exit_code == 0
    assert "  sink        lines: 3 parts delivered\n" in result.stdout


def test_sink_delivers_what_is_outstanding_and_writes_success(desk: Desk) -> None:
    blocked = block(desk)
    ran = desk.on_job("run", "--quiet")
    blocked.unlink()
    result = desk.on_job("sink")

    assert ran.exit_code == 4
    assert result.exit_code == 0
    assert result.stdout == ("every sink holds every part (exit 0)\n  sink lines: 3 parts delivered now, 3 in all\n")
    assert desk.folder.success.exists()
    assert desk.on_job("verify").exit_code == 0


def test_sink_has_nothing_to_do_where_all_is_in_step(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    result = desk.on_job("sink", "--json")

    assert told(result) == {
        "exit_code": 0,
        "reason": "every sink holds every part",
        "sinks": [{"name": "lines", "delivered": 3, "outstanding": 0, "delivered_now": 0, "error": None}],
    }


def test_a_sink_that_fails_is_exit_4_with_the_reason(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    (desk.path / "lines").rename(desk.path / "moved")
    block(desk)
    result = desk.on_job("sink", "--json")

    assert result.exit_code == 4
    assert told(result)["sinks"][0]["outstanding"] == 3
    assert "NotADirectoryError" in told(result)["reason"]
    assert (
        desk.folder.success.exists()
    )  # it was written when the sink held everything, and now the sink cannot be asked


def test_sink_delivers_what_a_stopped_run_has_finished_and_writes_no_success(desk: Desk) -> None:
    blocked = block(desk)
    desk.on_job("run", "--quiet", "--limit", "4")
    blocked.unlink()
    desk.folder.data.joinpath("part-000001.parquet").unlink()
    result = desk.on_job("sink", "--json")

    assert result.exit_code == 0
    assert told(result)["sinks"][0]["delivered"] == 1
    assert not desk.folder.success.exists()


def test_a_job_without_sinks_is_exit_2(tmp_path: Path) -> None:
    result = lay(tmp_path).on_job("sink")

    assert result.exit_code == 2
    assert "no [[sink]] table" in result.stderr


def test_an_output_that_was_never_run_is_exit_2(desk: Desk) -> None:
    result = desk.on_job("sink")

    assert result.exit_code == 2
    assert "no run has written here yet" in result.stderr
    assert not (desk.path / "lines").exists()


def test_a_run_that_holds_the_output_is_exit_5(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    with FolderLock(desk.folder.lock):
        result = desk.on_job("sink")

    assert result.exit_code == 5


def test_sink_does_not_mark_an_output_with_too_many_failed_rows(tmp_path: Path) -> None:
    desk = lay(tmp_path, texts=["fish", None, "fish"], job=JOB + EMULATED + LINES)
    blocked = block(desk)
    desk.on_job("run", "--quiet")
    blocked.unlink()

    assert desk.on_job("sink").exit_code == 0
    assert not desk.folder.success.exists()
    assert desk.on_job("run", "--quiet").exit_code == 1


def test_verify_tells_what_a_sink_lacks(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    for number in (0, 2):
        (desk.path / "lines" / f"part-00000{number}.jsonl").unlink()
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert result.stdout == "sink lines: lacks 2 parts (0, 2): batchrun sink JOB\n"


def test_verify_tells_that_a_sink_holds_another_version(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    ledger = desk.path / "lines" / "_delivered"
    ledger.write_text(ledger.read_text().replace('{"part":1,"version":', '{"part":1,"version":1'))
    result = desk.on_job("verify")

    assert result.stdout == "sink lines: holds another version of 1 part (1): batchrun sink JOB\n"


def test_verify_tells_of_a_sink_that_cannot_be_asked(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    (desk.path / "lines").rename(desk.path / "moved")
    block(desk)
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert result.stdout.startswith("sink lines: cannot be asked about 3 parts (0, 1, 2) (NotADirectoryError")


def test_a_fresh_start_does_not_mix_its_results_with_the_old(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    before = sorted((desk.path / "lines").iterdir())
    result = desk.on_job("run", "--quiet", "--fresh")

    assert result.exit_code == 4
    assert "holds the results of run" in result.stdout
    assert sorted((desk.path / "lines").iterdir()) == before


def test_a_run_with_a_hanging_sink_ends_after_a_signal(tmp_path: Path) -> None:
    """A named pipe in the ledger's place: to open it is to wait for ever, in a thread that nobody can stop."""
    job = JOB + EMULATED + LINES + '[limits]\ndrain = "0.2s"\n'
    desk = lay(tmp_path, job=job)
    (tmp_path / "lines").mkdir()
    os.mkfifo(tmp_path / "lines" / "_delivered")
    command = [sys.executable, "-m", "batchrun", "run", str(desk.job), "--quiet", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 60
        while len(list(desk.folder.data.glob("*.parquet"))) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 3, err
    assert "SIGTERM" in out
    assert "sink lines: cannot be asked about 3 parts (0, 1, 2)" in out
