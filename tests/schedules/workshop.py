"""A workshop: a folder with a small job for the emulator, and the batchrun that schedulers call there."""

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.storage.folder import Folder
from tests.small_job import job_text

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "jobs" / "schedules"
JOB = job_text(
    "classify",
    input={"path": "data/rows.parquet"},
    output={"path": "out/classify"},
    aws={"endpoint_url": "emulator"},
    emulator={"latency_per_token_s": 0},
)
QUICK = "latency_s = 0\n"
STOPS_AT_ONCE = 'latency_s = 30\n[limits]\ndeadline = "0.05s"\ndrain = "0s"\n'


@dataclass(frozen=True, slots=True)
class Workshop:
    """A job, and a command `batchrun` that needs nothing of the environment."""

    path: Path

    @property
    def job(self) -> Path:
        """The job file."""
        return self.path / "classify.toml"

    @property
    def command(self) -> Path:
        """What stands for the installed batchrun."""
        return self.path / "batchrun"

    @property
    def folder(self) -> Folder:
        """The job's output."""
        return Folder(self.path / "out" / "classify")

    def write_job(self, ending: str = QUICK) -> None:
        """Write the job file; `ending` begins in its [emulator] table."""
        self.job.write_text(JOB + ending)

    def write_rows(self, rows: int) -> None:
        """Write the input."""
        table = pa.table({"text": [f"Name fish {row}. [[output_tokens=2]]" for row in range(rows)]})
        self.path.joinpath("data").mkdir(exist_ok=True)
        pq.write_table(table, self.path / "data" / "rows.parquet")

    def call(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a scheduler does: nothing of the tests' environment, in a folder that is not the job's."""
        return subprocess.run(
            command, env={**bare_environment(self.path), **environment}, cwd=self.path / "home",
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip


def bare_environment(path: Path) -> dict[str, str]:
    """Return what cron sets, by crontab(5): no more than this."""
    return {"HOME": str(path / "home"), "LOGNAME": "batch", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


def furnish(path: Path) -> Workshop:
    """Make a workshop."""
    shop = Workshop(path)
    (path / "home").mkdir()
    shop.write_rows(3)
    shop.write_job()
    write_script(shop.command, f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m batchrun "$@"')
    return shop


def write_script(path: Path, body: str) -> None:
    """Write a shell script that can be called."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def age(path: Path, seconds: float) -> None:
    """Make a file look older."""
    told = path.stat()
    os.utime(path, (told.st_atime - seconds, told.st_mtime - seconds))
