"""From the checks of the tables to problems in the user's words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchrun.jobspec.keys import Key, nearest
from batchrun.jobspec.problems import Path, Problem, dotted, shown, value_at

# By pydantic's name of the error; what is not here is said in pydantic's own words.
BOUNDS = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be ≥ {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be ≤ {le}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "must hold at most {max_length}",
}
NUMBER = re.compile(r"[+-]?[0-9][0-9_]*(\.[0-9]+)?")
CREDENTIAL = re.compile(r"secret|password|credential|access_key|api_?key|bearer|session_token|^token$")
NO_CREDENTIALS = (
    "credentials are not put in job files: they come from the AWS chain (aws.profile, the environment, a role)"
    " or from AWS_BEARER_TOKEN_BEDROCK"
)

NO_SINK_CREDENTIALS = (
    "credentials are not put in job files: PostgreSQL's come from PGPASSWORD, PGPASSFILE or dsn_env,"
    " a store's from the environment or a role"
)


class MisfitError(ValueError):
    """A rule that joins tables is broken at `key` of the table under check."""

    def __init__(self, key: str, text: str):
        super().__init__(text)
        self.key = key


def problems_of(error: ValidationError, raw: Mapping[str, Any], known: Sequence[Key]) -> list[Problem]:
    """Say in the user's words what pydantic found in `raw`."""
    examples = {tuple(key.name.split(".")): key.example for key in known}
    names = _with_tables([*examples])
    problems = []
    for detail in error.errors(include_url=False):
        path = _path(detail)
        if detail["type"] == "missing":
            example = examples.get(path)
            problems.append(Problem(path, f": required, for example {example}" if example else ": required"))
        elif detail["type"] == "extra_forbidden":
            problems += [Problem(unknown, f": {_advice(unknown, names)}") for unknown in _unknown(path, detail, names)]
        else:
            problems.append(_out_of_bounds(path, detail, raw))
    return problems


def _path(detail: ErrorDetails) -> Path:
    segments = tuple(f"[{step}]" if isinstance(step, int) else step for step in detail["loc"])
    if segments[-1] == "[key]" and detail["type"] != "extra_forbidden":
        segments = segments[:-1]  # pydantic's mark for a wrong name in a table of names
    wrong = detail.get("ctx", {}).get("error")
    return (*segments, wrong.key) if isinstance(wrong, MisfitError) else segments


def _with_tables(names: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys([*names, *(name[:depth] for name in names for depth in range(1, len(name)))]))


def _unknown(path: Path, detail: ErrorDetails, names: Sequence[Path]) -> Iterator[Path]:
    """Name the unknown key; of a table with a name of ours in a wrong place, the keys in it."""
    inside = detail["input"]
    if path in names and isinstance(inside, Mapping):
        yield from ((*path, key) for key in inside)
    else:
        yield path


def _advice(path: Path, names: Sequence[Path]) -> str:
    if CREDENTIAL.search(path[-1]):
        return NO_SINK_CREDENTIALS if path[0] == "sink" else NO_CREDENTIALS
    meant = " or ".join(dotted(name) for name in nearest(path, names))
    return f"no such key; did you mean {meant}?" if meant else "no such key"


def _out_of_bounds(path: Path, detail: ErrorDetails, raw: Mapping[str, Any]) -> Problem:
    value = value_at(raw, path)
    shows = value is not None and not isinstance(value, Mapping)
    asked = f" = {shown(path, value)}" if shows else ""
    return Problem(path, f"{asked}: {_rule(detail, value)}")


def _rule(detail: ErrorDetails, value: object) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", '"')
    if kind not in BOUNDS:
        return detail["msg"].replace("Input should be", "must be")
    quoted_number = kind in ("int_type", "float_type") and isinstance(value, str) and NUMBER.fullmatch(value)
    return BOUNDS[kind].format(**context) + (", without quotes" if quoted_number else "")
