"""A small job: what job files of tests and benchmarks have in common, so that each says only what is its own."""

import json
from collections.abc import Mapping
from typing import Any

COMMON: dict[str, dict[str, Any]] = {
    "input": {"path": "rows.parquet"},
    "prompt": {"user": "{{ text }}"},
    "generation": {"max_tokens": 64},
    "routing": {"scopes": ["us"], "source_regions": ["us-east-1"]},
    "quota": {"tokens_per_minute": 1_000_000_000},
    "output": {"path": "out"},
}


def small_job(name: str, **tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job whose keys in `tables` stand over the common ones; a key that is None is left out."""
    job: dict[str, Any] = {"name": name}
    for table in [*COMMON, *(table for table in tables if table not in COMMON)]:
        keys = {**COMMON.get(table, {}), **tables.get(table, {})}
        job[table] = {key: value for key, value in keys.items() if value is not None}
    return job


def job_text(name: str, **tables: Mapping[str, Any]) -> str:
    """Return the same as a job file; what is appended goes on in its last table."""
    job = small_job(name, **tables)
    lines = [f"name = {_toml(job.pop('name'))}"]
    for table, keys in job.items():
        lines += [f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def emulator_at(url: str) -> dict[str, str]:
    """Return the [aws] table of a job for an emulator in a process of its own."""
    return {"endpoint_url": f"{url}/{{region}}"}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
