"""make takes `_SUCCESS` as its target."""

import subprocess

from tests.schedules.workshop import EXAMPLES, STOPS_AT_ONCE, Workshop, age

NOTHING_TO_DO = "is up to date"


def make(shop: Workshop) -> subprocess.CompletedProcess[str]:
    """Call the example as its first line says."""
    rule, target = str(EXAMPLES / "success.mk"), "out/classify/_SUCCESS"
    return shop.call("make", "-C", str(shop.path), "-f", rule, target, f"BATCHRUN={shop.command}")


def test_a_second_make_does_nothing(shop: Workshop) -> None:
    first = make(shop)
    assert first.returncode == 0, first.stderr
    assert "finished (exit 0)" in first.stdout

    again = make(shop)

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


def test_a_newer_job_file_is_looked_at_once_and_costs_no_call(shop: Workshop) -> None:
    make(shop)
    age(shop.folder.success, 60)
    looked = make(shop)

    assert "3 were done before" in looked.stdout
    assert NOTHING_TO_DO in make(shop).stdout


def test_a_changed_input_fails_the_rule_and_says_why(shop: Workshop) -> None:
    make(shop)
    age(shop.folder.success, 60)
    shop.write_rows(4)
    refused = make(shop)

    assert "Error 2" in refused.stderr
    assert "rows.parquet" in refused.stderr
