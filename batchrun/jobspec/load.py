"""From a path to a checked job."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchrun.errors import JobError
from batchrun.jobspec.overrides import override
from batchrun.jobspec.paths import text_of
from batchrun.jobspec.spec import JobSpec

AT = re.compile(r"(?P<what>.*) \(at line (?P<line>[0-9]+), column (?P<column>[0-9]+)\)", re.DOTALL)


def load_job(path: Path | str, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file, set what `overrides` (each a.b=VALUE) say, and check it.

    Relative paths belong to the folder of the job file, also those in `overrides`. Raises JobError with all problems.
    """
    raw = read_toml(Path(path))
    from_set = _override(raw, overrides)
    return JobSpec.from_mapping(raw, base=Path(path).absolute().parent, source=str(path), from_set=from_set)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises JobError saying where it is not one.
    """
    try:
        text = text_of(path)
    except ValueError as error:
        raise JobError(f"job file: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = AT.fullmatch(str(error))
        where, what = (f"{path}:{at['line']}:{at['column']}", at["what"]) if at else (path, error)
        raise JobError(f"{where}: not TOML: {what}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, a list in a list in a list …
        raise JobError(f"{path}: not TOML that can be read: {error}") from None


def _override(raw: dict[str, Any], overrides: Sequence[str]) -> list[tuple[str, ...]]:
    from_set, problems = [], []
    for written in overrides:
        try:
            from_set.append(override(raw, written))
        except JobError as error:
            problems.append(str(error))
    if problems:
        raise JobError("\n".join(problems))
    return from_set
