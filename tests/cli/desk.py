"""A desk: a folder with a small job for the emulator, and the command line to work on it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from batchrun.cli import app
from batchrun.storage.folder import Folder
from tests.small_job import job_text

JOB = job_text(
    "desk",
    input={"id": "id"},
    generation={"max_tokens": 20},
    quota={"tokens_per_minute": 1_000_000},
    output={"rows_per_part": 2},
)
EMULATED = """
[aws]
endpoint_url = "emulator"
[emulator]
latency_s = 0
latency_per_token_s = 0
"""
NOBODY_LISTENS = """
[aws]
endpoint_url = "http://127.0.0.1:9"
"""
FISH = [f"Name fish {row}. [[output_tokens=2]]" for row in range(5)]
SLOW = ["--set", "emulator.latency_s=30", "--set", "limits.deadline=0.05s", "--set", "limits.drain=0s"]


@dataclass(frozen=True, slots=True)
class Desk:
    """A job file and what the command line says of it."""

    path: Path

    @property
    def job(self) -> Path:
        """The job file."""
        return self.path / "job.toml"

    @property
    def folder(self) -> Folder:
        """Its output."""
        return Folder(self.path / "out")

    def rows(self) -> list[dict[str, Any]]:
        """Return the results in the order of their files."""
        parts = sorted(self.folder.data.glob("*.parquet"))
        return [row for part in parts for row in pq.read_table(part).to_pylist()]

    def on_job(self, command: str, *options: str) -> Result:
        """Invoke a command on the job."""
        return invoke(command, str(self.job), *options)


def lay(path: Path, texts: Sequence[str | None] = FISH, job: str = JOB + EMULATED) -> Desk:
    """Write an input and a job file."""
    ids = [f"id-{row}" for row in range(len(texts))]
    pq.write_table(pa.table({"id": ids, "text": pa.array(texts, pa.string())}), path / "rows.parquet")
    desk = Desk(path)
    desk.job.write_text(job)
    return desk


def invoke(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, list(arguments))


def told(result: Result) -> dict[str, Any]:
    """Return the one JSON object that stands on stdout, in one line."""
    lines = result.stdout.splitlines()
    assert len(lines) == 1, result.output
    content = json.loads(lines[0])
    assert isinstance(content, dict)
    return content
