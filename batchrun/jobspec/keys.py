"""Every key of the job file, and the one that a wrong key was probably meant to be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from inspect import isclass
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from batchrun.jobspec.problems import Path

# What other tools and AWS call our keys; difflib cannot know.
OTHER_NAMES = {
    "model.id": "model.card",
    "model.name": "model.card",
    "model.model_id": "model.card",
    "model": "model.card",
    "concurrency": "limits.max_in_flight",
    "max_concurrency": "limits.max_in_flight",
    "workers": "limits.max_in_flight",
    "region": "routing.source_regions",
    "regions": "routing.source_regions",
    "tpm": "quota.tokens_per_minute",
    "rpm": "quota.requests_per_minute",
    "tpd": "quota.tokens_per_day",
    "limit": "limits.rows",
    "timeout": "limits.deadline",
    "budget": "limits.max_cost_usd",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its dotted name; `example` is a line of TOML for a key that must be given."""

    name: str
    default: Any
    meaning: str
    required: bool = False
    example: str = ""


def keys_of(table: type[BaseModel], above: str = "", required: bool = True) -> Iterator[Key]:
    """Yield the keys of `table` and of the tables in it, in the order of the job file; `*` is a name of one's own."""
    for attribute, field in table.model_fields.items():
        name = above + (field.alias or attribute)
        if inner := _table_in(field.annotation):
            yield from keys_of(inner, f"{name}.", required and field.is_required())
        elif inner := _table_named_by_user(field.annotation):
            yield from keys_of(inner, f"{name}.*.", required=False)
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
            example = str(field.examples[0]) if field.examples else ""
            yield Key(name, default, field.description or "", required and field.is_required(), example)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a key holds, if it holds one: `Table` or `Table | None`."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and isclass(kinds[0]) and issubclass(kinds[0], BaseModel) else None


def _table_named_by_user(annotation: Any) -> type[BaseModel] | None:
    """Return the table of which a key holds many by name, if it does: `Mapping[str, Table]`."""
    return _table_in(get_args(annotation)[1]) if get_origin(annotation) in (dict, Mapping) else None


def nearest(path: Path, names: Sequence[Path]) -> list[Path]:
    """Return what the unknown key `path` was probably meant to be, best first; `names` are keys and tables.

    A right key in the wrong table comes before a misspelt one in the right table.
    """
    names = [name for pattern in names if (name := _named_as_in(path, pattern))]
    if meant := OTHER_NAMES.get(".".join(path)) or OTHER_NAMES.get(path[-1]):
        return [tuple(meant.split("."))]
    if moved := [name for name in names if name[-1] == path[-1]]:
        return moved
    beside = {name[-1]: name for name in names if name[:-1] == path[:-1]}
    if close := get_close_matches(path[-1], beside, n=1):
        return [beside[close[0]]]
    whole = {".".join(name): name for name in names}
    if close := get_close_matches(".".join(path), whole, n=1, cutoff=0.75):
        return [whole[close[0]]]
    last = {name[-1]: name for name in names}
    return [last[close] for close in get_close_matches(path[-1], last, n=1, cutoff=0.75)]


def _named_as_in(path: Path, pattern: Path) -> Path | None:
    """Return `pattern` with the user's own name from `path` in place of `*`; None if `path` is not in that table."""
    if "*" not in pattern:
        return pattern
    above = path[: len(pattern) - 1]
    alike = len(above) == len(pattern) - 1 and all(map(fnmatchcase, above, pattern))
    return (*above, pattern[-1]) if alike else None
