"""A slice of `make soak`: a run under chaos in a process of its own, whose files and tasks stay flat."""

import subprocess
import sys
from pathlib import Path

from runs import ENVIRONMENT

from tests.soak import LOOKS, Look, grown

ROOT = Path(__file__).parent.parent.parent


def test_files_and_tasks_are_flat_over_a_run_under_chaos() -> None:
    command = [sys.executable, "-m", "tests.soak", "--rows", "1500", "--throttles", "2000", "--in-flight", "12"]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, timeout=120, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1,500 rows in" in ended.stdout
    assert ended.stdout.count(" files ") == 10
    assert "Unclosed connection" not in ended.stderr


def looks(**a_look: float) -> list[Look]:
    """Return looks at a run whose numbers grow by so much from one to the next."""
    flat = {"files": 120, "tasks": 190, "threads": 2, "objects": 165_000, "memory_mb": 225.0}
    return [
        Look(rows=number, **{name: value + number * a_look.get(name, 0) for name, value in flat.items()})  # type: ignore[arg-type]
        for number in range(LOOKS)
    ]


def test_a_soak_tells_a_leak_of_one_object_a_fault_by_its_name() -> None:
    a_look = 2_500  # of 50,000 rows, 5 % fail

    assert grown(looks()) == []
    for name in ("files", "tasks", "objects"):
        assert [said.split()[0] for said in grown(looks(**{name: a_look}))] == [name]


def test_a_slice_of_a_soak_tells_a_leak_of_one_file_a_fault() -> None:
    assert grown(looks(files=1_500 * 0.05 / LOOKS)) != []
