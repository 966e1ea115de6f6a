"""The commands that need no job: lanes, emulate and init."""

from pathlib import Path
from typing import Annotated, Any

import typer

from batchrun.cli.arguments import Json
from batchrun.cli.saying import errors, say, tell
from batchrun.errors import JobError

FAULTS_HELP = "Chaos, such as reset=0.02; may be repeated; docs/emulator.md lists the kinds."


def lanes(
    card: Annotated[str, typer.Option("--card", help="A shipped model card, or a path to one.")] = "claude-haiku-4-5",
    as_json: Json = False,
) -> None:
    """List the model card's lanes and the Regions that may answer."""
    with errors(as_json):
        from batchrun.bedrock.card import load_card
        from batchrun.screen.lanes import lane_records, lanes_text

        records = lane_records(load_card(card))
        tell(records, lanes_text, as_json=as_json)


def emulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = 0,
    window: Annotated[str | None, typer.Option(help="bucket, fixed or sliding.")] = None,
    burst_s: Annotated[float | None, typer.Option("--burst-s", help="Seconds of quota that a bucket holds.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens per minute of each pool.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests per minute of each pool.")] = None,
    rtt_ms: Annotated[float | None, typer.Option("--rtt-ms", help="Added to every answer, refusals too.")] = None,
    latency_s: Annotated[float | None, typer.Option("--latency-s", help="Time to the first token.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="KIND=SHARE", help=FAULTS_HELP)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the chaos.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with an [emulator] table.")] = None,
) -> None:
    """Run a local Bedrock on loopback until it is interrupted. GET /stats tells what it saw."""
    with errors(as_json=False):
        from batchrun.bedrock.card import load_card
        from batchrun.emulator.server import EmulatorError, run_forever
        from batchrun.jobspec.emulator import check_emulator, emulator_spec

        given: dict[str, Any] = {"window": window, "burst_s": burst_s, "tpm": tpm, "rpm": rpm, "rtt_ms": rtt_ms}
        given |= {"latency_s": latency_s, "seed": seed}
        spec = emulator_spec(config, {key: value for key, value in given.items() if value is not None}, fault or [])
        check_emulator(spec, load_card())
        try:
            run_forever(spec, port=port, on_ready=lambda url: say(f"emulating Bedrock on {url}"))
        except EmulatorError as error:
            raise JobError(str(error)) from error


def init(
    target: Annotated[Path, typer.Argument(metavar="JOB.toml", help="The file to write.")] = Path("job.toml"),
) -> None:
    """Write a commented job file to start from."""
    with errors(as_json=False):
        from batchrun.jobspec.template import write_template

        write_template(target)
        say(f"wrote {target}; edit it, then: batchrun plan {target}")
