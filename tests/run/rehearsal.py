"""Rehearsals: small jobs over Parquet files that run for real, on the emulator and a virtual clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from batchrun.api import RunOptions, StandIns, arun
from batchrun.clock import Clock
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock
from batchrun.jobspec import JobSpec
from batchrun.readyjob import make_ready
from tests.emulated_transport import EmulatedTransport
from tests.virtual import run_virtual

BEGAN = datetime(2026, 11, 3, 11, 59, 17, tzinfo=UTC)  # the same each time: tests of a quota look at the calendar
Plain = str | int  # a key at the top of the file
SIX_REGIONS = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "eu-west-1"]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A run that has ended."""

    summary: Mapping[str, Any]
    transport: EmulatedTransport
    spec: JobSpec
    wall_s: float

    @property
    def code(self) -> int:
        """Return the exit code."""
        return int(self.summary["exit_code"])

    @property
    def reason(self) -> str:
        """Return why it ended."""
        return str(self.summary["reason"])

    @property
    def bedrock(self) -> Bedrock:
        """Return the emulator, with its books."""
        return self.transport.bedrock

    @property
    def stats(self) -> Mapping[str, Any]:
        """Return what the emulator has seen."""
        return self.bedrock.books.stats()

    @property
    def calls(self) -> int:
        """Return how many calls were made."""
        return self.transport.sends.total()

    @property
    def succeeded(self) -> bool:
        """Tell whether the output says so."""
        return (self.spec.output.path / "_SUCCESS").exists()

    def rows(self) -> list[dict[str, Any]]:
        """Return the result, row by row in the order of its files."""
        return results(self.spec)

    def row(self, number: int) -> dict[str, Any]:
        """Return the result of one row."""
        (found,) = [one for one in self.rows() if one["row"] == number]
        return found


def results(spec: JobSpec) -> list[dict[str, Any]]:
    """Return all rows of an output's data folder."""
    rows: list[dict[str, Any]] = pyarrow.dataset.dataset(spec.output.path / "data").to_table().to_pylist()
    return rows


def job(folder: Path, prompts: Sequence[str | None] | pa.Table, **changes: Mapping[str, Any] | Plain) -> JobSpec:
    """Write `prompts` to a Parquet file and return a job over it, with `changes` to its tables."""
    table = prompts if isinstance(prompts, pa.Table) else pa.table({"text": pa.array(prompts, pa.string())})
    path = folder / "rows.parquet"
    if not path.exists() or not pq.read_table(path).equals(table):
        pq.write_table(table, path)
    return job_over(folder, "rows.parquet", **changes)


def job_over(folder: Path, path: str, **changes: Mapping[str, Any] | Plain) -> JobSpec:
    """Return a job over an input that is there already; None takes a key away."""
    tables: dict[str, Any] = {
        "name": "rehearsal",
        "input": {"path": path},
        "prompt": {"user": "{{ text }}"},
        "generation": {"max_tokens": 200},
        "routing": {"scopes": ["us"], "source_regions": ["us-east-1"]},
        "quota": {"tokens_per_minute": 60_000},
        "output": {"path": "out"},
        "aws": {"endpoint_url": "emulator"},
        "emulator": {"tpm": 60_000, "latency_s": 0.5, "latency_per_token_s": 0},
    }
    for name, change in changes.items():
        if isinstance(change, Plain):
            tables[name] = change
        else:
            table = {**tables.get(name, {}), **change}
            tables[name] = {key: one for key, one in table.items() if one is not None}
    if tables["aws"].get("endpoint_url") != "emulator":
        del tables["emulator"]
    return JobSpec.from_mapping(tables, base=folder)


def rehearse(spec: JobSpec, transport: EmulatedTransport | None = None, **options: Any) -> Rehearsal:
    """Run a job to its end in virtual time; give `transport` to go on with an emulator that was used before."""
    carrier = transport or _transport(spec)
    clock = options.pop("clock", partial(Clock, BEGAN))

    async def run() -> Rehearsal:
        started_s = anyio.current_time()
        summary = await arun(spec, RunOptions(signals=True, **options), StandIns(carrier, clock()))
        return Rehearsal(summary, carrier, spec, anyio.current_time() - started_s)

    return run_virtual(run)


def _transport(spec: JobSpec) -> EmulatedTransport:
    ready = make_ready(spec)
    bedrock = Bedrock(spec.emulator or EmulatorSpec())
    signed_for = "bedrock-mantle" if spec.model.endpoint == "mantle" else "bedrock"
    asked = {"sampling": ready.sampling, "service": ready.service}
    return EmulatedTransport(bedrock, spec.model.api, **asked, signed_for=signed_for)


def numbered(rows: int, text: str = "Name a colour.") -> list[str]:
    """Return prompts that differ."""
    return [f"{number}: {text}" for number in range(rows)]
