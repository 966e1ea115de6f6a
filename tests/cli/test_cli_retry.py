"""retry on the command line: which rows, and how it ends."""

from pathlib import Path

import pytest

from tests.cli.desk import FISH, Desk, lay, told

ONE_ATTEMPT = ["--set", "retry.max_attempts=1"]


@pytest.fixture
def failed(tmp_path: Path) -> Desk:
    """A finished run in which every row failed, since the Region was down."""
    desk = lay(tmp_path, FISH[:4])
    outage = 'emulator.outages=[{region = "us-east-1", kind = "InternalServerException", from_s = 0}]'
    assert desk.on_job("run", "--quiet", *ONE_ATTEMPT, "--set", outage).exit_code == 1
    return desk


def test_failed_rows_are_sent_again(failed: Desk) -> None:
    result = failed.on_job("retry", "--json", "--quiet")

    assert result.exit_code == 0
    assert told(result)["by_status"] == {"ok": 4}
    assert [row["attempts"] for row in failed.rows()] == [2, 2, 2, 2]
    assert failed.on_job("verify").exit_code == 0


def test_the_summary_says_how_many_rows_of_which_status_went_out_again(failed: Desk) -> None:
    result = failed.on_job("retry", "--status", "failed", "--quiet")

    assert "4 rows are sent again: those that were failed" in result.stdout


@pytest.mark.parametrize("statuses", ["ok", "failed,fine", "", ","])
def test_a_status_that_cannot_be_sent_again_is_an_error_of_the_command(failed: Desk, statuses: str) -> None:
    result = failed.on_job("retry", "--status", statuses)

    assert result.exit_code == 2
    assert "must be a list, with commas, of truncated, refused, unsendable, invalid, failed" in result.stderr


def test_a_job_that_never_ran_has_nothing_to_send_again(desk: Desk) -> None:
    result = desk.on_job("retry")

    assert result.exit_code == 2
    assert "5 of 5 rows are in no part yet; run it first: batchrun run" in result.stderr
    assert not desk.folder.manifest.exists()
