"""A slice of `make soak`: a run under chaos in a process of its own, whose files and tasks stay flat."""

import subprocess
import sys
from pathlib import Path

from runs import ENVIRONMENT

ROOT = Path(__file__).parent.parent.parent


def test_files_and_tasks_are_flat_over_a_run_under_chaos() -> None:
    command = [sys.executable, "-m", "tests.soak", "--rows", "2000", "--throttles", "2000"]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, timeout=120, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2,000 rows in" in ended.stdout
    assert ended.stdout.count(" files ") == 10
    assert "Unclosed connection" not in ended.stderr
