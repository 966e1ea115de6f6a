"""Runs that are killed, signalled and started again, against an emulator in its own process that keeps books."""

import signal
from pathlib import Path

import pytest
from runs import emulator, finish, kill, rows_of, run, start, stats, wait_for_calls, write_job

ROWS = 800
IN_FLIGHT = 20


@pytest.mark.parametrize("calls_before_the_kill", [1, 150, 640])
def test_a_killed_run_goes_on_without_losing_or_doubling_a_row(tmp_path: Path, calls_before_the_kill: int) -> None:
    with emulator("--latency-s", "0.02") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        first = start(job)
        wait_for_calls(url, calls_before_the_kill)
        kill(first)

        summary = run(job)

        assert (summary["exit_code"], summary["rows"]) == (0, ROWS)
        assert rows_of(job) == list(range(ROWS))
        assert summary["resumed"] > 0 or calls_before_the_kill < IN_FLIGHT
        assert stats(url)["repeated_calls"] <= IN_FLIGHT


def test_a_run_killed_again_while_it_resumes_still_loses_nothing(tmp_path: Path) -> None:
    with emulator("--latency-s", "0.02") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        kills = 0
        for calls in (100, 250, 400, 550):
            process = start(job)
            wait_for_calls(url, calls)
            kill(process)
            kills += 1

        assert run(job)["rows"] == ROWS
        assert rows_of(job) == list(range(ROWS))
        assert stats(url)["repeated_calls"] <= kills * IN_FLIGHT


def test_equal_requests_are_paid_once_over_kills(tmp_path: Path) -> None:
    # 64 prompts, each of them in 25 rows; what a kill takes of the known answers is put in again from the logs.
    with emulator("--latency-s", "0.02") as url:
        job = write_job(tmp_path, url, rows=1_600, in_flight=IN_FLIGHT, unlike=64)
        job.write_text(f'dedupe = "force"\n{job.read_text()}')
        for calls in (5, 40):
            process = start(job)
            wait_for_calls(url, calls)
            kill(process)

        summary = run(job)

        assert (summary["exit_code"], summary["rows"]) == (0, 1_600)
        assert rows_of(job) == list(range(1_600))
        assert stats(url)["prompts"] == 64
        assert stats(url)["paid_calls"] <= 64 + 2 * IN_FLIGHT


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signalled_run_drains_and_nothing_is_paid_twice(tmp_path: Path, name: str) -> None:
    with emulator("--latency-s", "0.05") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        process = start(job)
        wait_for_calls(url, 200)
        process.send_signal(getattr(signal, name))
        stopped = finish(process)

        assert stopped["exit_code"] == 3
        assert name in stopped["reason"]
        assert 0 < stopped["rows"] < ROWS
        assert run(job)["rows"] == ROWS
        assert rows_of(job) == list(range(ROWS))
        assert stats(url)["repeated_calls"] == 0


def wait_until_all_are_out(url: str) -> None:
    """Wait until as many calls are in flight as may be."""
    looks = 400
    while stats(url)["in_flight"] < IN_FLIGHT:
        looks -= 1
        assert looks, f"never {IN_FLIGHT} calls in flight"
        signal.sigtimedwait([], 0.05)


def test_a_signal_that_comes_twice_at_once_is_one(tmp_path: Path) -> None:
    with emulator("--latency-s", "1") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        process = start(job)
        wait_until_all_are_out(url)
        process.send_signal(signal.SIGTERM)  # as GNU timeout does it, to the process and then to its group
        process.send_signal(signal.SIGINT)
        stopped = finish(process)

        assert (stopped["exit_code"], stopped["usd_unsettled"]) == (3, 0)
        assert "were cut off" not in stopped["reason"]


def test_a_signal_while_a_deadline_drains_is_the_first_and_cuts_nothing_off(tmp_path: Path) -> None:
    with emulator("--latency-s", "3") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        process = start(job, "--set", "limits.deadline=1.5")
        wait_until_all_are_out(url)
        signal.sigtimedwait([], 1.5)
        process.send_signal(signal.SIGTERM)
        stopped = finish(process)

        assert (stopped["exit_code"], stopped["rows"], stopped["usd_unsettled"]) == (3, IN_FLIGHT, 0)
        assert "limits.deadline" in stopped["reason"]


def test_a_second_signal_ends_a_run_at_once(tmp_path: Path) -> None:
    with emulator("--latency-s", "30") as url:
        job = write_job(tmp_path, url, 50, IN_FLIGHT)
        process = start(job)
        wait_until_all_are_out(url)
        process.send_signal(signal.SIGTERM)
        signal.sigtimedwait([], 0.3)
        process.send_signal(signal.SIGTERM)

        stopped = finish(process, timeout_s=10)  # neither the answers' 30 s nor the drain's 20 s are waited for

    assert (stopped["exit_code"], stopped["rows"]) == (3, 0)


def test_a_second_run_of_the_same_output_is_turned_away(tmp_path: Path) -> None:
    with emulator("--latency-s", "0.05") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        first = start(job)
        wait_for_calls(url, 20)

        second = run(job)

        assert second["exit_code"] == 5
        assert f"process {first.pid}" in second["reason"]
        assert finish(first)["exit_code"] == 0


def test_a_finished_job_run_again_sends_nothing(tmp_path: Path) -> None:
    with emulator("--latency-s", "0") as url:
        job = write_job(tmp_path, url, 300, IN_FLIGHT)
        run(job)
        calls = stats(url)["calls"]

        again = run(job)

        assert (again["exit_code"], again["rows"], again["resumed"]) == (0, 300, 300)
        assert stats(url)["calls"] == calls
