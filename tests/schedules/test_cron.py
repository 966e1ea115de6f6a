"""The crontab's line, run as cron runs it: /bin/sh, cron's few variables, in $HOME."""

import subprocess

import pytest

from batchrun.storage.lock import FolderLock
from tests.schedules.workshop import EXAMPLES, STOPS_AT_ONCE, Workshop

NO_MAIL = (0, "", "")


def tick(shop: Workshop, **changes: str) -> tuple[int, str, str]:
    """Run the line; what it prints is what cron mails."""
    given, command = crontab()
    ours = {"BATCHRUN": str(shop.command), "JOB": str(shop.job)} | changes
    assert ours.keys() <= given.keys()
    ended = shop.call(given["SHELL"], "-c", command, **{**given, **ours})
    return ended.returncode, ended.stdout, ended.stderr


def crontab() -> tuple[dict[str, str], str]:
    """Return the variables and the one command of the example, as crontab(5) reads them."""
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    given: dict[str, str] = {}
    commands = []
    for line in (line for line in lines if line and not line.startswith("#")):
        first, equals, rest = line.partition("=")
        if equals and " " not in first:
            given[first] = rest
        else:
            commands.append(line.split(maxsplit=5)[5])
    (command,) = commands
    assert "%" not in command  # cron would make a newline of it
    return given, command


def test_a_finished_job_does_nothing_at_the_next_tick(finished: Workshop) -> None:
    told = finished.folder.summary.read_bytes()

    assert tick(finished) == NO_MAIL
    assert finished.folder.summary.read_bytes() == told  # it tells of the last start that sent something


def test_a_stopped_job_sends_no_mail_and_the_next_tick_goes_on(shop: Workshop) -> None:
    shop.write_job(STOPS_AT_ONCE)
    assert tick(shop) == NO_MAIL
    assert not shop.folder.success.exists()

    shop.write_job()
    assert tick(shop) == NO_MAIL
    assert shop.folder.success.exists()


def test_a_tick_while_another_run_holds_the_output_ends_without_a_mail(shop: Workshop) -> None:
    shop.folder.path.mkdir(parents=True)
    with FolderLock(shop.folder.lock):
        assert tick(shop) == NO_MAIL
    assert not shop.folder.success.exists()


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("latency_s = 0\n[limits]\nmax_failed = -1\n", 2, "limits.max_failed = -1"),
        ("latency_s = 0\nfaults = {ValidationException = 1.0}\n", 1, "3 of 3 rows are not ok"),
    ],
)
def test_what_needs_a_person_is_mailed(shop: Workshop, ending: str, code: int, told: str) -> None:
    shop.write_job(ending)
    ended, mail, _ = tick(shop)

    assert ended == code
    assert told in mail


def test_an_output_that_cannot_be_written_is_mailed(shop: Workshop) -> None:
    shop.path.joinpath("out").write_text("no folder")
    code, mail, _ = tick(shop)

    assert code == 4
    assert "out/classify" in mail


def test_of_two_runs_at_once_one_works_and_the_other_says_5(shop: Workshop) -> None:
    shop.write_job("latency_s = 1.0\n")
    command = [str(shop.command), "run", str(shop.job), "--quiet"]
    both = [
        subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [run.communicate(timeout=30)[1] for run in both]

    assert sorted(run.returncode for run in both) == [0, 5], told
    assert "another run holds this output" in "".join(told)
