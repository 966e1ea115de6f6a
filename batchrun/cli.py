"""The command line: arguments in, text and exit codes out; the only file that prints."""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from batchrun.errors import BatchrunError, JobError, RunStopped

if TYPE_CHECKING:
    from batchrun.records import Status

# Everything heavy is imported in the commands: `batchrun --help` must not wait for pyarrow and the SDK.

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="One prompt per row of a Parquet dataset through Claude on Amazon Bedrock, at the account's quota.",
)

Job = Annotated[Path, typer.Argument(metavar="JOB.toml", help="The job file.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the job file, such as limits.max_in_flight=50."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

THREADS_END_S = 0.5  # an idle thread of a pool ends in no time

EXIT_CODES = """
Exit codes: 0 finished; 1 finished, but more rows failed than limits.max_failed; 2 the job file or the input is wrong,
nothing was sent; 3 stopped early, run again to go on; 4 credentials, access, storage or a sink; 5 another run holds the
output.
"""


@app.command(epilog=EXIT_CODES)
def run(
    job: Job,
    sets: Set = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N rows.", metavar="N")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier output aside and start anew.")] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept-input-changes", help="Go on although input files changed; results that are there stay."),
    ] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a job, or go on with it where it stopped."""
    with _errors(as_json):
        from batchrun.api import RunOptions
        from batchrun.api import run as run_job
        from batchrun.screen.summary import summary_text

        options = RunOptions(_overrides(sets, limit), fresh, None if quiet else sys.stderr, accept_input_changes=accept)
        summary = run_job(job, options)
        _say(json.dumps(summary) if as_json else summary_text(summary))
    raise typer.Exit(summary["exit_code"])


@app.command(epilog=EXIT_CODES)
def retry(
    job: Job,
    sets: Set = None,
    status: Annotated[
        str, typer.Option("--status", help="Which rows: a list with commas.", metavar="STATUS,…")
    ] = "truncated,invalid,failed",
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Send rows of a finished run again whose status is not ok, and replace the parts that they are in."""
    with _errors(as_json):
        from batchrun.api import RunOptions
        from batchrun.api import run as run_job
        from batchrun.screen.summary import summary_text

        options = RunOptions(_overrides(sets), screen=None if quiet else sys.stderr, again=_statuses(status))
        summary = run_job(job, options)
        _say(json.dumps(summary) if as_json else summary_text(summary))
    raise typer.Exit(summary["exit_code"])


@app.command()
def plan(
    job: Job,
    sets: Set = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N rows.", metavar="N")] = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Show the first N rendered requests.", metavar="N")] = 0,
    count: Annotated[
        bool, typer.Option("--count/--no-count", help="Have Bedrock count a sample's tokens, which is free.")
    ] = True,
    probe: Annotated[
        int,
        typer.Option("--probe", min=0, metavar="N", help="Send N rows first, spread over the input; they are kept."),
    ] = 0,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress of a probe.")] = False,
) -> None:
    """Show what a job would send, where, at what cost and in what time. Sends nothing, unless --probe is given."""
    with _errors(as_json):
        from batchrun.planning import plan as plan_job
        from batchrun.screen.plan import plan_text

        screen = None if quiet else sys.stderr
        planned = plan_job(job, _overrides(sets, limit), show, count=count, probe=probe, screen=screen)
        _say(json.dumps(planned) if as_json else plan_text(planned))
    raise typer.Exit(planned.get("exit_code", 0))


@app.command()
def status(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Show how a run stands, from another terminal too."""
    with _errors(as_json):
        from batchrun.jobspec import load_job
        from batchrun.screen.status import read_status, status_text
        from batchrun.storage.opening import open_store

        with open_store(load_job(job, _overrides(sets))) as store:
            told = read_status(store)
        _say(json.dumps(told) if as_json else status_text(told))


@app.command()
def verify(
    job: Job,
    sets: Set = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N rows.", metavar="N")] = None,
    as_json: Json = False,
) -> None:
    """Prove an output: every input row has one result, and every part is whole. Exit 0, or 1 with what is wrong."""
    with _errors(as_json):
        from batchrun.api import verify as verify_job

        wrong = verify_job(job, _overrides(sets, limit))
        said = "\n".join(wrong) or "verified: every row has its one result, every part is whole"
        _say(json.dumps({"exit_code": 1 if wrong else 0, "wrong": wrong}) if as_json else said)
    raise typer.Exit(1 if wrong else 0)


DOCTOR_CODES = """
Exit codes: 0 the lanes answer; 1 some do, and some never will as things are; 2 the job file is wrong; 3 none answers
just now, try again later; 4 none answers, or there are no credentials.
"""


@app.command(epilog=DOCTOR_CODES)
def doctor(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Examine credentials, profiles and quotas, send one tiny call on each lane, and say what to do. Costs a little."""
    with _errors(as_json):
        from batchrun.account.doctor import doctor as examine
        from batchrun.screen.doctor import doctor_text

        told = examine(job, _overrides(sets))
        _say(json.dumps(told) if as_json else doctor_text(told))
    raise typer.Exit(told["exit_code"])


@app.command()
def sink(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Deliver to the job's sinks the parts that they lack. Exit 0 all in step, 4 a sink failed."""
    with _errors(as_json):
        from batchrun.deliver import deliver, deliveries_text

        told = deliver(job, _overrides(sets))
        _say(json.dumps(told) if as_json else deliveries_text(told))
    raise typer.Exit(told["exit_code"])


@app.command()
def report(job: Job, sets: Set = None) -> None:
    """Write one HTML file with figures and plots of an output beside its parts, also while a run goes on."""
    with _errors(as_json=False):
        from batchrun.reporting import report as write_report

        _say(write_report(job, _overrides(sets)))


@app.command()
def lanes(
    card: Annotated[str, typer.Option("--card", help="A shipped model card, or a path to one.")] = "claude-haiku-4-5",
    as_json: Json = False,
) -> None:
    """List every lane of the model card: its ID, the Region to call and the Regions that may answer."""
    with _errors(as_json):
        from batchrun.bedrock.card import load_card
        from batchrun.screen.lanes import lane_records, lanes_text

        records = lane_records(load_card(card))
        _say(json.dumps(records) if as_json else lanes_text(records))


@app.command()
def emulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = 0,
    window: Annotated[str | None, typer.Option(help="bucket, fixed or sliding.")] = None,
    burst_s: Annotated[float | None, typer.Option("--burst-s", help="Seconds of quota that a bucket holds.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens per minute of each pool.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests per minute of each pool.")] = None,
    rtt_ms: Annotated[float | None, typer.Option("--rtt-ms", help="Added to every answer, refusals too.")] = None,
    latency_s: Annotated[float | None, typer.Option("--latency-s", help="Time to the first token.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="KIND=SHARE", help="Chaos; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the chaos.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with an [emulator] table.")] = None,
) -> None:
    """Run a local Bedrock on loopback until it is interrupted; GET /stats tells what it saw."""
    with _errors(as_json=False):
        from batchrun.emulator.server import EmulatorError, run_forever
        from batchrun.jobspec.emulator import emulator_spec

        given: dict[str, Any] = {"window": window, "burst_s": burst_s, "tpm": tpm, "rpm": rpm, "rtt_ms": rtt_ms}
        given |= {"latency_s": latency_s, "seed": seed}
        spec = emulator_spec(config, {key: value for key, value in given.items() if value is not None}, fault or [])
        try:
            run_forever(spec, port=port, on_ready=lambda url: _say(f"emulating Bedrock on {url}"))
        except EmulatorError as error:
            raise JobError(str(error)) from error


@app.command()
def init(
    target: Annotated[Path, typer.Argument(metavar="JOB.toml", help="The file to write.")] = Path("job.toml"),
) -> None:
    """Write a commented job file to start from."""
    with _errors(as_json=False):
        from batchrun.jobspec.template import write_template

        write_template(target)
        _say(f"wrote {target}; edit it, then: batchrun plan {target}")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"batchrun {installed('batchrun')}")
        raise typer.Exit


def main() -> NoReturn:
    """Run the command line; the exit code says how it ended."""
    _open_closed_streams()
    for one in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, signal.default_int_handler)  # until a run listens itself
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not UTF-8 shows «≤» as an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        _leave(RunStopped("interrupted"))
    except SystemExit as end:
        _leave_threads(end)
        raise
    sys.exit(0)


def _open_closed_streams() -> None:
    """Lead standard streams that are closed nowhere: else a file of the run gets their number, and what is printed."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, mode))


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Turn what ends a command into a message and its exit code."""
    try:
        yield
    except BatchrunError as error:
        _fail(error, as_json)
    except KeyboardInterrupt:
        _leave(RunStopped("interrupted before a call was sent"))
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours: say so, never with the exit code of a finished run
        # Where and what, but not the error's own words: they may quote a row, and logs are kept.
        _say("".join(traceback.format_tb(error.__traceback__)).rstrip(), "stderr")
        _fail(RunStopped(f"internal error: {type(error).__name__}; the output can be gone on with"), as_json)


def _say(text: str, to: str = "stdout") -> None:
    """Print; a reader that has gone or a full disk changes nothing about how the command ended."""
    from batchrun.screen.printable import printable

    stream = getattr(sys, to)
    try:
        print(printable(text), file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if to == "stdout" and not isinstance(error, BrokenPipeError):  # `batchrun lanes | head` is no matter
            _say(f"batchrun: stdout: {error.strerror}", "stderr")


def _fail(error: BatchrunError, as_json: bool) -> NoReturn:
    if as_json:
        from batchrun.screen.summary import empty_summary

        _say(json.dumps(empty_summary(error.exit_code, str(error))))
    _say(f"batchrun: {error}", "stderr")
    sys.exit(error.exit_code)


def _leave(error: BatchrunError) -> NoReturn:
    """End the process at once: a thread may still scan the input, and an ordinary end would wait for it."""
    _say(f"batchrun: {error}", "stderr")
    os._exit(error.exit_code)


def _statuses(text: str) -> "list[Status]":
    """Read `--status`."""
    from batchrun.records import Status

    allowed = [status.value for status in Status if status is not Status.OK]
    named = [word.strip() for word in text.split(",") if word.strip()]
    if not named or not {*named} <= {*allowed}:
        raise JobError(f"--status {text!r}: must be a list, with commas, of {', '.join(allowed)}")
    return [Status(word) for word in named]


def _leave_threads(end: SystemExit) -> None:
    """End the process at once if a thread does not end, as in a sink that hangs: an ordinary end would wait for it."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for one in others:
        one.join(THREADS_END_S)
    if isinstance(end.code, int) and any(one.is_alive() for one in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def _overrides(sets: list[str] | None, limit: int | None = None) -> list[str]:
    return [*(sets or []), *([f"limits.rows={limit}"] if limit is not None else [])]


if __name__ == "__main__":
    main()
