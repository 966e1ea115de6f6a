"""[[sink]] tables: where results go besides the output folder, each type with keys of its own."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from batchrun.jobspec.keys import keys_of
from batchrun.jobspec.paths import overlap, resolved
from batchrun.jobspec.problems import Problem, shown
from batchrun.jobspec.refusal import CREDENTIAL, NO_SINK_CREDENTIALS, problems_of
from batchrun.jobspec.values import FilePath, Name, Table, base_of

GROUP = "batchrun.sinks"  # entry points of plug-ins

# PostgreSQL cuts names at 63 bytes without a word; the ledger's name needs some of them.
LEDGER_SUFFIX = "_batchrun_parts"
TABLE_NAME = re.compile(rf"([A-Za-z_][A-Za-z0-9_]{{0,62}}\.)?[A-Za-z_][A-Za-z0-9_]{{0,{62 - len(LEDGER_SUFFIX)}}}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PASSWORD = re.compile(r"(^|[\s?&])(ssl)?password\s*=|//[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


class SinkTable(Table):
    """What all [[sink]] tables have; a plug-in's table adds its own keys, which are checked as strictly."""

    extra: ClassVar[tuple[str, str] | None] = None  # (module, extra of batchrun that installs it)

    type: Name = Field(
        description="jsonl, delta, postgres or the name of an installed plug-in, which has keys of its own",
        examples=['type = "jsonl"'],
    )
    name: Name | None = Field(default=None, description="how messages name this sink; unset: its type and target")

    @property
    def target(self) -> str:
        """Say where the results go, for messages."""
        raise NotImplementedError

    @property
    def place(self) -> tuple[object, ...]:
        """Return what two sinks must not have in common."""
        return self.type, self.target

    @property
    def folders(self) -> tuple[Path, ...]:
        """Name the local folders that the sink fills."""
        return ()

    @property
    def label(self) -> str:
        """Return how messages name this sink."""
        return self.name or f"{self.type} ({self.target})"


class Jsonl(SinkTable):
    """A folder of JSON Lines files, one per part."""

    path: FilePath = Field(description="folder of the files", examples=['path = "out/reviews-jsonl"'])
    compression: Literal["none", "gzip", "zstd"] = Field(default="none", description="of each file")

    @property
    def target(self) -> str:
        """Return the folder."""
        return str(self.path)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Name the folder."""
        return (self.path,)


def a_folder_or_s3(value: object, info: ValidationInfo) -> str:
    """Read a path or an s3:// URL."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value if value.startswith("s3://") and len(value) > len("s3://") else resolved(value, base_of(info))


def no_secrets(options: Mapping[str, str]) -> Mapping[str, str]:
    if any(CREDENTIAL.search(key.lower()) for key in options):
        raise ValueError(NO_SINK_CREDENTIALS)
    return options


class Delta(SinkTable):
    """A Delta Lake table."""

    extra = ("deltalake", "delta")

    path: Annotated[str, PlainValidator(a_folder_or_s3)] = Field(
        description="folder or s3:// URL of the table", examples=['path = "out/reviews-delta"']
    )
    storage_options: Annotated[Mapping[str, str], AfterValidator(no_secrets)] = Field(
        default={}, description="endpoint, region and the like, in object_store's names; no credentials"
    )

    @property
    def target(self) -> str:
        """Return the folder or URL."""
        return self.path

    @property
    def folders(self) -> tuple[Path, ...]:
        """Name the folder, if the table is on this machine."""
        return () if self.path.startswith("s3://") else (Path(self.path),)


class Postgres(SinkTable):
    """A PostgreSQL table."""

    extra = ("psycopg", "postgres")

    table: Name = Field(description='table, or "schema.table"; made if it is missing', examples=['table = "reviews"'])
    dsn: Name | None = Field(
        default=None, description="connection string without a password; unset, and no dsn_env: libpq's PG* variables"
    )
    dsn_env: Name | None = Field(
        default=None, description="environment variable that holds the connection string, instead of dsn"
    )

    @property
    def target(self) -> str:
        """Return the table's name."""
        return self.table

    @property
    def place(self) -> tuple[object, ...]:
        """Return the table and the database."""
        return self.type, self.table, self.dsn, self.dsn_env

    @field_validator("table")
    @classmethod
    def _is_a_name(cls, table: str) -> str:
        if not TABLE_NAME.fullmatch(table):
            longest = 63 - len(LEDGER_SUFFIX)
            raise ValueError(
                f'must be a name of at most {longest} letters, digits and _, no digit first, or "schema.table"'
            )
        return table

    @field_validator("dsn")
    @classmethod
    def _holds_no_password(cls, dsn: str | None) -> str | None:
        if dsn is not None and PASSWORD.search(dsn):
            raise ValueError(
                "must hold no password: give it in PGPASSWORD, in PGPASSFILE or ~/.pgpass, "
                "or put the whole string into an environment variable and name that in dsn_env"
            )
        return dsn

    @field_validator("dsn_env")
    @classmethod
    def _names_a_variable(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and not VARIABLE.fullmatch(name):
            raise ValueError("must be the name of an environment variable")
        if name is not None and info.data.get("dsn") is not None:
            raise ValueError("give dsn or dsn_env, not both")
        return name


BUILT_IN: dict[str, type[SinkTable]] = {"jsonl": Jsonl, "delta": Delta, "postgres": Postgres}


def plug_in(name: str) -> EntryPoint | None:
    """Return the entry point of the plug-in `name`, None where none is installed."""
    return next(iter(entry_points(group=GROUP, name=name)), None)


def check_sinks(raw: object, base: Path) -> tuple[tuple[SinkTable, ...], list[Problem]]:
    """Check the [[sink]] tables of a job file; return them, or none and what is wrong with them."""
    if not isinstance(raw, list | tuple) or not all(isinstance(one, Mapping) for one in raw):
        return (), [Problem(("sink",), ": must be a list of tables: write [[sink]]")]
    tables: list[type[SinkTable]] = []
    problems: list[Problem] = []
    for place, one in enumerate(raw):
        try:
            tables.append(_table_of(one.get("type")))
        except ValueError as error:
            given = f" = {shown(('type',), one['type'])}" if "type" in one else ""
            problems.append(Problem(("sink", f"[{place}]", "type"), f"{given}: {error}"))
    if problems:
        return (), problems
    # One tuple of unlike tables, so that pydantic names the place of what is wrong as sink[0].path.
    model: Any = create_model("Sinks", __base__=Table, sink=(tuple[*tables], ...))  # type: ignore[valid-type]
    content = {"sink": tuple(raw)}
    try:
        sinks: tuple[SinkTable, ...] = model.model_validate(content, context=base).sink
    except ValidationError as error:
        known = [key for place, table in enumerate(tables) for key in keys_of(table, f"sink.[{place}].")]
        return (), problems_of(error, content, known)
    problems += _missing_extras(sinks)
    problems += _twice(sinks)
    return ((), problems) if problems else (sinks, [])


def _table_of(kind: object) -> type[SinkTable]:
    """Return the table that belongs to a type; of a plug-in, after importing it."""
    if not isinstance(kind, str):
        raise ValueError('required, for example type = "jsonl"' if kind is None else "must be a string")
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    entry = plug_in(kind)
    if entry is None:
        installed = [*BUILT_IN, *sorted({one.name for one in entry_points(group=GROUP)})]
        close = get_close_matches(kind, installed, n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        named = ", ".join(f'"{name}"' for name in installed)
        raise ValueError(f"no such sink: there are {named}, and plug-ins that are installed{meant}")
    try:
        table = entry.load().Table
        if not issubclass(table, SinkTable):
            raise TypeError("its Table is no SinkTable")
    except Exception as error:
        raise ValueError(f"the plug-in {entry.value} cannot be used: {type(error).__name__}: {error}") from error
    return table  # type: ignore[no-any-return]


def _missing_extras(sinks: tuple[SinkTable, ...]) -> Iterator[Problem]:
    for place, sink in enumerate(sinks):
        if sink.extra is not None and find_spec(sink.extra[0]) is None:
            needs = f"needs the extra: pip install 'batchrun[{sink.extra[1]}]'"
            yield Problem(("sink", f"[{place}]"), f': type = "{sink.type}" {needs}')


def _twice(sinks: tuple[SinkTable, ...]) -> Iterator[Problem]:
    for place, sink in enumerate(sinks):
        at = ("sink", f"[{place}]")
        for before, other in enumerate(sinks[:place]):
            if sink.place == other.place or _share_a_folder(sink, other):
                yield Problem(at, f": goes where sink[{before}] goes: {sink.target}")
                break
            if sink.label == other.label:
                yield Problem(
                    (*at, "name"), f': sink[{before}] is named "{other.label}" too; give each a name of its own'
                )
                break


def _share_a_folder(sink: SinkTable, other: SinkTable) -> bool:
    return any(overlap(str(one), str(two)) for one in sink.folders for two in other.folders)
