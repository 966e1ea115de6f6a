"""make takes `_SUCCESS` as its target."""

import subprocess

from tests.schedules.workshop import EXAMPLES, STOPS_AT_ONCE, Workshop, age

NOTHING_TO_DO = "is up to date"


def make(shop: Workshop) -> subprocess.CompletedProcess[str]:
    """Call the example as its first line says."""
    rule, target = str(EXAMPLES / "success.mk"), "out/classify/_SUCCESS"
    return shop.call("make", "-C", str(shop.path), "-f", rule, target, f"BATCHRUN={shop.command}")


def test_a_make_after_the_job_is_done_does_nothing(finished: Workshop) -> None:
    again = make(finished)

    assert again.returncode == 0
    assert NOTHING_TO_DO in again.stdout
    assert "exit" not in again.stdout  # batchrun was not even started


def test_exit_3_leaves_no_success_so_that_the_next_make_goes_on(shop: Workshop) -> None:
    shop.write_job(STOPS_AT_ONCE)
    stopped = make(shop)

    assert stopped.returncode == 2  # make's own word for a rule that failed
    assert "Error 3" in stopped.stderr
    assert not shop.folder.success.exists()

    shop.write_job()
    assert make(shop).returncode == 0
    assert shop.folder.success.exists()


def test_a_newer_job_file_is_looked_at_once_and_costs_no_call(finished: Workshop) -> None:
    age(finished.folder.success, 60)
    looked = make(finished)

    assert "3 were done before" in looked.stdout
    assert NOTHING_TO_DO in make(finished).stdout


def test_a_changed_input_fails_the_rule_and_says_why(finished: Workshop) -> None:
    age(finished.folder.success, 60)
    finished.write_rows(4)
    refused = make(finished)

    assert "Error 2" in refused.stderr
    assert "rows.parquet" in refused.stderr
