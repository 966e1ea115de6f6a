"""Keys set on the command line: a.b=VALUE over what the job file says."""

import re
import tomllib
from typing import Any

from batchrun.errors import JobError
from batchrun.jobspec.problems import Path, dotted

SEGMENT = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
WRITTEN = re.compile(rf"\s*(?P<key>{SEGMENT}(?:\s*\.\s*{SEGMENT})*)\s*=\s*(?P<value>.*)", re.DOTALL)


def override(raw: dict[str, Any], written: str) -> Path:
    """Set in `raw` what `written` says, making tables where there are none; return the key.

    Raises JobError if `written` is not a.b=VALUE or a part of the key is no table.
    """
    path, value = parsed(written)
    table = raw
    for depth, segment in enumerate(path[:-1], start=1):
        table = table.setdefault(segment, {})
        if not isinstance(table, dict):
            raise JobError(f"--set {dotted(path)}: {dotted(path[:depth])} is not a table")
    table[path[-1]] = value
    return path


def parsed(written: str) -> tuple[Path, Any]:
    """Return the key, segment by segment, and the value of a.b=VALUE: TOML if it is TOML, else a string."""
    match = WRITTEN.fullmatch(written)
    if not match:
        key = written.partition("=")[0]
        raise JobError(
            f"--set {key}: must be KEY=VALUE, with quotes around a part of the key that has other characters than"
            ' letters, digits, - and _, such as quota.pools."us-east-1/geo".tokens_per_minute=100000'
        )
    return _path(match["key"]), _value(match["value"])


def _path(key: str) -> Path:
    try:
        step = tomllib.loads(f"{key} = 0")
    except ValueError as error:
        raise JobError(f"--set {key}: the key is not TOML: {error}") from None
    path: Path = ()
    while isinstance(step, dict):
        [(segment, step)] = step.items()
        path += (segment,)
    return path


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return read["value"] if read.keys() == {"value"} else text
