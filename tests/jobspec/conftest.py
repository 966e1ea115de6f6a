"""A job that is right, and what is said when one key of it is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.jobspec.overrides import parsed
from tests.refusal import refusal_of

Build = Callable[..., JobSpec]
Refusal = Callable[..., list[str]]


def smallest() -> dict[str, Any]:
    return {
        "name": "reviews",
        "input": {"path": "data"},
        "prompt": {"user": "Sum up: {{ text }}"},
        "generation": {"max_tokens": 512},
        "routing": {"scopes": ["us", "global"]},
        "output": {"path": "out"},
    }


def changed(job: dict[str, Any], **keys: Any) -> dict[str, Any]:
    for dotted_key, value in keys.items():
        path, _ = parsed(f"{dotted_key}=")
        table = job
        for segment in path[:-1]:
            table = table.setdefault(segment, {})
        if value is ...:
            table.pop(path[-1], None)
        else:
            table[path[-1]] = value
    return job


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Check the smallest job with some keys changed; `...` leaves a key out."""
    return lambda **keys: JobSpec.from_mapping(changed(smallest(), **keys), base=tmp_path, source="x.toml")


@pytest.fixture
def refusal(build: Build) -> Refusal:
    """Return the lines that refuse the smallest job with some keys changed."""
    return lambda **keys: refusal_of(JobError, build, **keys).splitlines()


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write a job file into a folder that is not the cwd; `text` comes after the smallest job."""
    folder = tmp_path / "jobs"
    folder.mkdir()

    def write(text: str = "") -> Path:
        path = folder / "x.toml"
        path.write_text(SMALLEST + text, encoding="utf-8")
        return path

    return write


SMALLEST = """\
name = "reviews"
input.path = "data"
prompt.user = "Sum up: {{ text }}"
generation.max_tokens = 512
routing.scopes = ["us", "global"]
output.path = "out"
"""
