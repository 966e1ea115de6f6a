"""The commands that take a job's rows further: run, retry and sink."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchrun.cli.arguments import Job, Json, Limit, Quiet, Set, overrides
from batchrun.cli.saying import errors, tell
from batchrun.errors import JobError

if TYPE_CHECKING:
    from batchrun.api import RunOptions
    from batchrun.records import Status


def run(
    job: Job,
    sets: Set = None,
    limit: Limit = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier output aside and start anew.")] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept-input-changes", help="Go on although input files changed; results that are there stay."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a job, or go on with it where it stopped."""
    with errors(as_json, run=True):
        from batchrun.api import RunOptions

        options = RunOptions(overrides(sets, limit), fresh, None if quiet else sys.stderr, accept_input_changes=accept)
        exit_code = _run(job, options, as_json)
    raise typer.Exit(exit_code)


def retry(
    job: Job,
    sets: Set = None,
    status: Annotated[
        str, typer.Option("--status", help="Which rows: a list with commas.", metavar="STATUS,…")
    ] = "truncated,invalid,failed",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send rows of a finished run again that are not ok. The parts that they are in are replaced."""
    with errors(as_json, run=True):
        from batchrun.api import RunOptions

        options = RunOptions(overrides(sets), screen=None if quiet else sys.stderr, again=_statuses(status))
        exit_code = _run(job, options, as_json)
    raise typer.Exit(exit_code)


def sink(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Deliver to the job's sinks the parts that they lack."""
    with errors(as_json):
        from batchrun.deliver import deliver, deliveries_text

        told = deliver(job, overrides(sets))
        tell(told, deliveries_text, as_json=as_json)
    raise typer.Exit(told["exit_code"])


def _run(job: Path, options: "RunOptions", as_json: bool) -> int:
    """Run a job, tell how that ended, and return the exit code."""
    from batchrun.api import run as run_job
    from batchrun.screen.summary import summary_text

    summary = run_job(job, options)
    tell(summary, summary_text, as_json=as_json)
    return int(summary["exit_code"])


def _statuses(text: str) -> "list[Status]":
    """Read `--status`."""
    from batchrun.records import Status

    allowed = [status.value for status in Status if status is not Status.OK]
    named = [word.strip() for word in text.split(",") if word.strip()]
    if not named or not {*named} <= {*allowed}:
        raise JobError(f"--status {text!r}: must be a list, with commas, of {', '.join(allowed)}")
    return [Status(word) for word in named]
