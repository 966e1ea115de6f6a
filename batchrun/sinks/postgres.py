"""The postgres sink: a table with the row number as its key, and a ledger of parts beside it.

A part goes by COPY into a temporary table and from there by upsert into the table, so that columns which others have
added keep what they hold; the ledger's line is written in the same transaction. psycopg rather than ADBC: its COPY
leaves the text of each type to us, so that lists, structs, maps and NULs have a place, and libpq's own ways to
connect and to authenticate all work.
"""

import os
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import LEDGER_SUFFIX, Postgres
from batchrun.sinks.part import Part
from batchrun.sinks.postgres_types import copy_text, type_of

# libpq's defaults wait for ever for a server that has gone; a job's own connection string overrides these.
PATIENCE: dict[str, str | int] = {"connect_timeout": 10, "tcp_user_timeout": 60_000, "application_name": "batchrun"}
MOST_NAME_BYTES = 63  # of a column; PostgreSQL cuts longer ones without a word

Query = sql.SQL | sql.Composed


class PostgresSink:
    """Writes parts to one table."""

    Table = Postgres

    def __init__(self, table: Postgres) -> None:
        self._job = table
        schema, _, name = table.table.rpartition(".")
        self._schema = schema
        self._table = sql.Identifier(*([schema] if schema else []), name)
        self._ledger = sql.Identifier(*([schema] if schema else []), name + LEDGER_SUFFIX)
        self._open: psycopg.Connection | None = None

    def __repr__(self) -> str:
        return f"PostgresSink({self._job.table})"

    def versions(self, run_id: str, numbers: Iterable[int]) -> Mapping[int, int]:
        """Read the ledger; its table is told from others by the runs that its lines name."""
        with self._connection().transaction(), self._connection().cursor() as cursor:
            if not self._is_there(cursor, self._ledger):
                if self._is_there(cursor, self._table):
                    raise SinkError(f"table {self._job.table}: is there and no run delivered it: name another table")
                return {}
            cursor.execute(_query("SELECT run_id, part, version FROM {}", self._ledger))
            lines = cursor.fetchall()
        self._check_owner({owner for owner, _, _ in lines}, run_id)
        wanted = set(numbers)
        return {part: version for _, part, version in lines if part in wanted}

    def deliver(self, part: Part) -> None:
        """Upsert the rows of a part, and enter it into the ledger, in one transaction."""
        names = [_column(name) for name in part.schema.names]
        with self._connection().transaction(), self._connection().cursor() as cursor:
            if self._schema:
                cursor.execute(_query("CREATE SCHEMA IF NOT EXISTS {}", sql.Identifier(self._schema)))
            cursor.execute(_query("CREATE TABLE IF NOT EXISTS {} ({})", self._table, _definitions(part)))
            cursor.execute(_query(LEDGER_TABLE, self._ledger))
            cursor.execute(_query("CREATE TEMPORARY TABLE arriving ({}) ON COMMIT DROP", _definitions(part)))
            with cursor.copy(_query("COPY arriving ({}) FROM STDIN", sql.SQL(", ").join(names))) as copy:
                for batch in part.batches():
                    copy.write(copy_text(batch))
            cursor.execute(_upsert(self._table, names))
            line = (part.number, part.run_id, part.version, part.first_row, part.last_row, part.emulated)
            cursor.execute(_query(ENTER, self._ledger), line)

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connection(self) -> psycopg.Connection:
        if self._open is None:
            self._open = psycopg.connect(**self._parameters())  # type: ignore[arg-type]
            self._open.autocommit = True  # transactions are begun and ended by name
        return self._open

    def _parameters(self) -> dict[str, str | int]:
        """Return what libpq is given; what the job leaves open, PG* variables and libpq's files decide."""
        written, whose = self._job.dsn or "", "dsn"
        if self._job.dsn_env is not None:
            written, whose = os.environ.get(self._job.dsn_env, ""), f"dsn_env: the variable {self._job.dsn_env}"
            if not written:
                raise SinkError(f"{whose} is not set")
        try:
            given = conninfo_to_dict(written)
        except psycopg.Error:  # its message repeats the string, and so perhaps a password
            raise SinkError(f"{whose} holds no connection string that libpq can read") from None
        return {**PATIENCE, **{key: str(value) for key, value in given.items()}, "client_encoding": "utf8"}

    def _is_there(self, cursor: psycopg.Cursor, table: sql.Identifier) -> bool:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table.as_string(cursor),))
        return cursor.fetchone() == (True,)

    def _check_owner(self, owners: set[str], run_id: str) -> None:
        if others := owners - {run_id}:
            raise SinkError(
                f"table {self._job.table}: holds the results of run {others.pop()}, this output is run {run_id}: "
                "name another table"
            )


LEDGER_TABLE = """
CREATE TABLE IF NOT EXISTS {} (
  part integer PRIMARY KEY, run_id text NOT NULL, version bigint NOT NULL, first_row bigint NOT NULL,
  last_row bigint NOT NULL, emulated boolean NOT NULL, delivered_at timestamptz NOT NULL DEFAULT now()
)"""
ENTER = """
INSERT INTO {} (part, run_id, version, first_row, last_row, emulated) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (part) DO UPDATE SET version = excluded.version, delivered_at = excluded.delivered_at"""


def _query(text: str, *names: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(*names)


def _column(name: str) -> sql.Identifier:
    size_bytes = len(name.encode())
    if not 0 < size_bytes <= MOST_NAME_BYTES:
        raise SinkError(
            f"column {name[:80]!r}: its name has {size_bytes} bytes, PostgreSQL's have 1 to {MOST_NAME_BYTES}: "
            "rename it in the input"
        )
    return sql.Identifier(name)


def _definitions(part: Part) -> sql.Composed:
    """Return the columns of a table for a part's rows; the first is the key."""
    key, *others = [_query("{} " + type_of(field.type), _column(field.name)) for field in part.schema]
    return sql.SQL(", ").join([_query("{} PRIMARY KEY", key), *others])


def _upsert(table: sql.Identifier, names: list[sql.Identifier]) -> sql.Composed:
    changes = sql.SQL(", ").join(_query("{0} = excluded.{0}", name) for name in names[1:])
    columns = sql.SQL(", ").join(names)
    text = "INSERT INTO {0} ({1}) SELECT {1} FROM arriving ON CONFLICT ({2}) DO UPDATE SET {3}"
    return _query(text, table, columns, names[0], changes)
