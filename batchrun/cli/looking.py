"""The commands that look at a job, before its run, meanwhile and after: plan, status, verify, doctor and report."""

import json
import sys
from typing import Annotated

import typer

from batchrun.cli.arguments import Job, Json, Limit, Set, overrides
from batchrun.cli.saying import errors, say, tell


def plan(
    job: Job,
    sets: Set = None,
    limit: Limit = None,
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
    """Show what a job would send, where, its cost and time. Spends nothing, unless --probe is given.

    A sample of the rows goes to Bedrock to have its tokens counted, unless --no-count is given.
    """
    with errors(as_json):
        from batchrun.planning import plan as plan_job
        from batchrun.screen.plan import plan_text

        screen = None if quiet else sys.stderr
        planned = plan_job(job, overrides(sets, limit), show, count=count, probe=probe, screen=screen)
        tell(planned, plan_text, as_json=as_json)
    raise typer.Exit(planned.get("exit_code", 0))


def status(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Show how a run stands, from another terminal too."""
    with errors(as_json):
        from batchrun.jobspec import load_job
        from batchrun.screen.status import read_status, status_text
        from batchrun.storage.opening import open_store

        with open_store(load_job(job, overrides(sets))) as store:
            told = read_status(store)
        tell(told, status_text, as_json=as_json)


def verify(
    job: Job,
    sets: Set = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Prove that every input row has its one result. Reads every part whole; exit 0, or 1 with what is wrong."""
    with errors(as_json):
        from batchrun.api import verify as verify_job

        def note(text: str) -> None:
            say(f"note: as the job file stands, a run would be refused: {text}", "stderr")

        wrong = verify_job(job, overrides(sets, limit), note)
        said = "\n".join(wrong) or "verified: every row has its one result, every part is whole"
        say(json.dumps({"exit_code": 1 if wrong else 0, "wrong": wrong}) if as_json else said)
    raise typer.Exit(1 if wrong else 0)


def doctor(job: Job, sets: Set = None, as_json: Json = False) -> None:
    """Examine access and quotas, try each lane with a tiny call. Says what to do where that fails; costs a little."""
    with errors(as_json):
        from batchrun.account.doctor import doctor as examine
        from batchrun.screen.doctor import doctor_text

        told = examine(job, overrides(sets))
        tell(told, doctor_text, as_json=as_json)
    raise typer.Exit(told["exit_code"])


def report(job: Job, sets: Set = None) -> None:
    """Write one HTML file with figures and plots of an output. It lies beside the parts; also while a run goes on."""
    with errors(as_json=False):
        from batchrun.reporting import report as write_report

        say(write_report(job, overrides(sets)))
