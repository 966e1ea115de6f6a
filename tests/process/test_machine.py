"""Runs at the edge of the machine: few file descriptors, a hostile environment, signals from before."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ENVIRONMENT, command, emulator, finish, rows_of, run, start, stats, wait_for_calls, write_job

ROWS = 600
IN_FLIGHT = 20


def test_few_file_descriptors_are_enough_for_many_regions(tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))

    with emulator("--latency-s", "0.05") as url:
        job = write_job(tmp_path, url, ROWS)
        text = job.read_text().replace('scopes = ["us"]', 'scopes = ["global"]').replace("max_in_flight = 20", "")
        job.write_text(text.replace('source_regions = ["us-east-1", "us-west-2"]', ""))
        arguments = [sys.executable, "-m", "batchrun", "run", str(job), "--json", "--quiet"]
        ended = subprocess.run(
            arguments, preexec_fn=few, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
        )

    assert ended.returncode == 0, ended.stderr
    assert rows_of(job) == list(range(ROWS))


def test_an_endpoint_of_ones_own_needs_no_profile_and_takes_no_proxy(tmp_path: Path) -> None:
    with emulator("--latency-s", "0") as url:
        job = write_job(tmp_path, url, 20)
        hostile = {
            "AWS_PROFILE": "no-such-profile",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        }
        arguments = [sys.executable, "-m", "batchrun", "run", str(job), "--quiet"]
        ended = subprocess.run(
            arguments, env=ENVIRONMENT | hostile, capture_output=True, text=True, timeout=60, check=False
        )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("ignored", "exit_code"), [(signal.SIGHUP, 0), (signal.SIGINT, 3)], ids=["as by nohup", "as by a script's &"]
)
def test_of_signals_that_were_ignored_before_the_start_only_sighup_stays_ignored(
    ignored: signal.Signals, exit_code: int, tmp_path: Path
) -> None:
    with emulator("--latency-s", "0.05") as url:
        job = write_job(tmp_path, url, ROWS)
        before = signal.signal(ignored, signal.SIG_IGN)
        try:
            process = start(job)
        finally:
            signal.signal(ignored, before)
        wait_for_calls(url, 100)
        process.send_signal(ignored)

        assert finish(process)["exit_code"] == exit_code


def test_a_reader_that_has_gone_changes_nothing_about_the_exit_code(tmp_path: Path) -> None:
    with emulator("--latency-s", "0") as url:
        job = write_job(tmp_path, url, 20)
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "batchrun", "run", str(job), "--quiet"], stdout=writing, env=ENVIRONMENT
        )
        os.close(writing)
        os.close(reading)

        assert process.wait(timeout=60) == 0


def test_every_command_of_a_finished_job_works_from_another_folder(tmp_path: Path) -> None:
    with emulator("--latency-s", "0") as url:
        job = write_job(tmp_path, url, 20)
        run(job)
        paid = stats(url)["paid_calls"]

        assert command("verify", str(job)).returncode == 0
        assert "finished" in command("status", str(job)).stdout
        assert command("plan", str(job)).returncode == 0
        assert stats(url)["paid_calls"] == paid


def test_a_run_without_standard_streams_ends_as_any_other(tmp_path: Path) -> None:
    def close() -> None:
        os.closerange(0, 3)

    with emulator("--latency-s", "0") as url:
        job = write_job(tmp_path, url, 20)
        arguments = [sys.executable, "-m", "batchrun", "run", str(job)]
        ended = subprocess.run(arguments, preexec_fn=close, env=ENVIRONMENT, timeout=60, check=False)

    assert ended.returncode == 0
    assert command("verify", str(job)).returncode == 0


def test_a_message_for_a_closed_stderr_does_not_end_up_in_the_json(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "batchrun", "run", str(tmp_path / "none.toml"), "--json"]
    ended = subprocess.run(
        arguments, preexec_fn=lambda: os.close(2), env=ENVIRONMENT, stdout=subprocess.PIPE, timeout=60, check=False
    )

    assert ended.returncode == 2
    assert json.loads(ended.stdout)["exit_code"] == 2


@pytest.mark.parametrize("job", ["job.toml", "none.toml"])
def test_a_full_device_for_all_that_is_said_changes_nothing_about_the_exit_code(tmp_path: Path, job: str) -> None:
    with emulator("--latency-s", "0") as url, Path("/dev/full").open("w") as full:
        write_job(tmp_path, url, 20)
        arguments = [sys.executable, "-m", "batchrun", "run", str(tmp_path / job)]
        ended = subprocess.run(arguments, stdout=full, stderr=full, env=ENVIRONMENT, timeout=60, check=False)

    assert ended.returncode == (0 if job == "job.toml" else 2)


def test_a_reader_of_messages_that_has_gone_changes_nothing_about_the_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "batchrun", "run", str(tmp_path / "none.toml")]
    ended = subprocess.run(arguments, stdout=writing, stderr=writing, env=ENVIRONMENT, timeout=60, check=False)
    os.close(writing)

    assert ended.returncode == 2


SHORT_PATIENCE = """
import sys
from batchrun.bedrock import wire
from batchrun.cli import main

wire.LEAST_READ_TIMEOUT_S = 3 - 64 / wire.SLOWEST_TOKENS_PER_S  # 3 s for the 64 tokens of these jobs
sys.argv[0] = "batchrun"
main()
"""


def test_a_process_that_is_stopped_for_longer_than_an_answer_may_take_loses_nothing(tmp_path: Path) -> None:
    with emulator("--latency-s", "0.1") as url:
        job = write_job(tmp_path, url, ROWS, IN_FLIGHT)
        process = subprocess.Popen(
            [sys.executable, "-c", SHORT_PATIENCE, "run", str(job), "--json", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd="/",
        )  # fmt: skip
        wait_for_calls(url, 200)
        process.send_signal(signal.SIGSTOP)
        signal.sigtimedwait([], 3.5)
        process.send_signal(signal.SIGCONT)
        summary = finish(process)

        assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": ROWS})
        assert rows_of(job) == list(range(ROWS))
        # What was answered meanwhile is taken, unless the loop was stopped on its way to its time-outs.
        assert stats(url)["repeated_calls"] <= IN_FLIGHT
