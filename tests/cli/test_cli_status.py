"""status: running, killed, stopped, finished, or never run."""

import json

from batchrun.storage.lock import FolderLock
from tests.cli.desk import SLOW, Desk, told


def left_running(desk: Desk) -> None:
    """Leave the output as a run does that is going on, or was killed."""
    desk.on_job("run", "--quiet")
    status = json.loads(desk.folder.status.read_text())
    desk.folder.status.write_text(json.dumps({**status, "state": "running"}))


def test_an_output_that_was_never_run_has_no_status(desk: Desk) -> None:
    result = desk.on_job("status")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no run has written here yet" in result.stderr


def test_a_damaged_status_is_no_output_that_was_never_run(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    desk.folder.status.write_bytes(desk.folder.status.read_bytes()[:40])
    result = desk.on_job("status", "--json")

    assert result.exit_code == 2
    assert "status.json is damaged; the next batchrun run writes it anew" in result.stderr
    assert told(result) == {"exit_code": 2, "reason": result.stderr.removeprefix("batchrun: ").strip()}


def test_a_finished_run_is_told_with_its_rows(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    result = desk.on_job("status")

    assert result.exit_code == 0
    assert result.stdout.startswith("finished, as of ")
    assert "5 of 5 (100.0 %): 5 ok" in result.stdout
    assert result.stderr == ""


def test_a_stopped_run_is_told_with_the_way_on(desk: Desk) -> None:
    desk.on_job("run", "--quiet", *SLOW)

    assert desk.on_job("status").stdout.startswith("stopped (run it again to go on)")


def test_a_run_that_holds_its_lock_is_running(desk: Desk) -> None:
    left_running(desk)
    with FolderLock(desk.folder.lock):
        result = desk.on_job("status")

    assert result.stdout.startswith("running, as of ")
    assert "time left" in result.stdout


def test_a_run_that_left_its_lock_without_an_end_was_killed(desk: Desk) -> None:
    left_running(desk)

    assert desk.on_job("status").stdout.startswith("killed (run it again to go on)")


def test_status_as_json_says_whether_the_output_is_a_success(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    status = told(desk.on_job("status", "--json"))

    assert (status["state"], status["rows"], status["success"]) == ("finished", 5, True)


def test_status_does_not_keep_a_run_from_starting(desk: Desk) -> None:
    desk.on_job("run", "--quiet", *SLOW)
    desk.on_job("status")

    assert desk.on_job("run", "--quiet").exit_code == 0
