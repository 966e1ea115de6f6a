"""The commands, in the order in which `batchrun --help` lists them."""

from typing import Annotated

import typer

from batchrun.cli.jobless import emulate, init, lanes
from batchrun.cli.looking import doctor, plan, report, status, verify
from batchrun.cli.saying import say
from batchrun.cli.sending import retry, run, sink

EXIT_CODES = """
Exit codes: 0 finished; 1 finished, but more rows are not ok than limits.max_failed; 2 the job file or the input is
wrong, nothing was sent; 3 stopped early, run again to go on; 4 credentials, access, storage or a sink; 5 another run
holds the output.
"""
SINK_CODES = """
Exit codes: 0 the sinks have every part; 2 the job file is wrong, or no run has written the output; 4 a sink failed; 5 a
run holds the output.
"""
DOCTOR_CODES = """
Exit codes: 0 the lanes answer; 1 some do, and some never will as things are; 2 the job file is wrong; 3 none answers
just now, try again later; 4 none answers, or there are no credentials.
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="One prompt per row of a Parquet dataset through Claude on Amazon Bedrock, at the account's quota.",
)

app.command(epilog=EXIT_CODES)(run)
app.command(epilog=EXIT_CODES)(retry)
app.command()(plan)
app.command()(status)
app.command()(verify)
app.command(epilog=DOCTOR_CODES)(doctor)
app.command(epilog=SINK_CODES)(sink)
app.command()(report)
app.command()(lanes)
app.command()(emulate)
app.command()(init)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        say(f"batchrun {installed('batchrun')}")
        raise typer.Exit
