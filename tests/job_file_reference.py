"""`python -m tests.job_file_reference > docs/job-file.md`: every key of the job file, from the tables that check it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator
from pydantic.fields import FieldInfo

from batchrun.emulator.config import Outage, Tenant
from batchrun.jobspec import JobSpec, Key
from batchrun.jobspec.keys import keys_of
from batchrun.jobspec.running import OwnLane
from batchrun.jobspec.sinks import BUILT_IN, SinkTable
from batchrun.jobspec.tools import Tool
from tests.job_file_examples import EXAMPLES

TELLING = 10**9  # a larger bound is there for the machine's sake
COMMAND = "python -m tests.job_file_reference > docs/job-file.md"
FILE = Path(__file__).parent.parent / "docs" / "job-file.md"
# What `identity_of` names besides the input's files and whose answers they are.
IDENTITY = ("input.id", "input.keep", "prompt.*", "generation.*", "model.card", "output.rows_per_part")
HEAD = f"""\
# The job file

<!-- {COMMAND} -->

A job file is TOML. Relative paths in it belong to the file's folder. `--set a.b=VALUE` sets any key for one command;
VALUE is read as TOML, else as a string.

**What an output belongs to**, and what therefore cannot change between two starts: the files of `input.path` (new ones
may come), {{identity}}, and whether answers come from AWS
or, with `aws.endpoint_url`, from an emulator. Of the length of answers the bound counts, whether it is `max_tokens` or
`max_tokens_ceiling`. All other keys may change; a tighter `routing.residency` is checked against the Regions that have
answered so far. A run whose identity differs is refused with what differs; `--fresh` moves the old output aside.

A key without a type in brackets takes a string, or true and false where its default is one of them. «–» is a key that
is unset. A wrong key or value is refused by name, with its bound. `batchrun init` writes a file with comments, and
[README.md](../README.md#a-job-file) has a short one.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the reference: its heading, and the table of ours that checks it."""

    heading: str
    table: type[BaseModel]


def main() -> None:
    print(document(), end="")


def document() -> str:
    """Return the reference as Markdown."""
    identity = ", ".join(f"all of `[{name[:-2]}]`" if name.endswith(".*") else f"`{name}`" for name in IDENTITY)
    return "\n".join([HEAD.format(identity=identity), *(_written(section) for section in sections())])


def sections() -> Iterator[Section]:
    """Yield the tables in the order of the job file, each list of tables behind the table that holds it."""
    lists = {"prompt": ("tools", Tool), "routing": ("lane", OwnLane)}
    yield Section("At the top of the file", JobSpec)
    for name, table in _tables():
        yield Section(f"[{name}]", table)
        if name in lists:
            inner, rows = lists[name]
            yield Section(f"[[{name}.{inner}]]", rows)
        if name == "output":
            yield from (Section(f'[[sink]] type = "{kind}"', sink) for kind, sink in BUILT_IN.items())
        if name == "emulator":
            yield Section("[[emulator.tenants]]", Tenant)
            yield Section("[[emulator.outages]]", Outage)


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in JobSpec.model_fields.items():
        if isinstance(kind := _bare(field.annotation), type) and issubclass(kind, BaseModel):
            yield name, kind


def _written(section: Section) -> str:
    """Write one table, with its example behind it."""
    tables = {name for name, _ in _tables()} if section.table is JobSpec else set()
    lines = [f"## {section.heading}", "", *_needs(section.table), "| key | default | meaning |", "|---|---|---|"]
    for key in keys_of(section.table):
        if key.name.partition(".")[0] not in tables:
            kind = _kind_of(section.table, key.name)
            lines.append(f"| {_name(key)} | {_default(key)} | {_cell(key.meaning)}{f' ({kind})' if kind else ''} |")
    example = EXAMPLES.get(section.heading)
    return "\n".join([*lines, "", *([f"```toml\n{example}```", ""] if example else [])])


def _needs(table: type[BaseModel]) -> list[str]:
    """Say what a sink needs installed."""
    extra = table.extra if issubclass(table, SinkTable) else None
    return [f"Needs `pip install 'batchrun[{extra[1]}]'`.", ""] if extra else []


def _name(key: Key) -> str:
    return key.name.replace(".*.", '."NAME".')


def _default(key: Key) -> str:
    if key.required:
        return "required"
    match key.default:
        case None:
            return "–"
        case bool():
            return str(key.default).lower()
        case str():
            return f'"{key.default}"'
        case tuple():
            return "[]"
        case dict():
            return "{}"
    return f"{key.default:,g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _kind_of(table: type[BaseModel], name: str) -> str:
    """Return the type and bounds of the key `name` of `table`, "" where its meaning says them or they are plain."""
    first, _, rest = name.removeprefix("*.").partition(".")
    field = next(one for attribute, one in table.model_fields.items() if (one.alias or attribute) == first)
    if rest:
        inner = _bare(field.annotation)
        return _kind_of(inner if isinstance(inner, type) else get_args(inner)[1], rest)
    return _kind(field.annotation, field.metadata)


def _kind(annotation: Any, notes: list[Any]) -> str:
    annotation, notes = _open(annotation, notes)
    if any(isinstance(note, PlainValidator) for note in notes):
        return ""  # a rule of its own, which its meaning tells
    if get_origin(annotation) is Literal:
        return _either(annotation)
    if annotation in (int, float):
        return " ".join(filter(None, ("whole number" if annotation is int else "number", _bounds(notes))))
    if get_origin(annotation) is tuple:
        return f"list of {_several(get_args(annotation)[0])}"
    if get_origin(annotation) is not None and len(get_args(annotation)) == 2:
        return f"table of {_several(get_args(annotation)[1])}"
    return ""


def _several(annotation: Any) -> str:
    """Name the members of a list or a table."""
    annotation, notes = _open(annotation, [])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "tables"
    if get_origin(annotation) is tuple:
        return "lists"
    kind = _kind(annotation, notes)
    return kind.replace("number", "numbers") if annotation in (int, float) else kind or "strings"


def _open(annotation: Any, notes: list[Any]) -> tuple[Any, list[Any]]:
    """Take off `Annotated` and `| None`; return what is left and all notes on the way."""
    notes = list(notes)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            notes += [note for one in more for note in (one.metadata if isinstance(one, FieldInfo) else [one])]
        elif (bare := _bare(annotation)) is not annotation:
            annotation = bare
        else:
            return annotation, notes


def _bare(annotation: Any) -> Any:
    """Return X of `X | None`, and anything else as it is."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 else annotation


def _either(annotation: Any) -> str:
    *most, last = [f'"{value}"' for value in get_args(annotation)]
    return f"{', '.join(most)} or {last}" if most else last


def _bounds(notes: list[Any]) -> str:
    least, above, most, below = (
        next(
            (f"{value:,}" for note in notes if (value := getattr(note, name, None)) is not None and value < TELLING), ""
        )
        for name in ("ge", "gt", "le", "lt")
    )
    if least and most:
        return f"from {least} to {most}"
    signs = {"≥": least, ">": above, "≤": most, "<": below}
    return " and ".join(f"{sign} {value}" for sign, value in signs.items() if value)


if __name__ == "__main__":
    main()
