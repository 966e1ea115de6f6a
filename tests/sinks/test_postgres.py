"""The postgres sink, against a server."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from batchrun.jobspec.sinks import Postgres
from batchrun.sinks.conformance import SinkConformance
from batchrun.sinks.postgres import PostgresSink

numbers = count()


@dataclass(frozen=True)
class PostgresPlace:
    """A table of its own on the tests' server."""

    dsn: str
    table: str

    def sink(self) -> PostgresSink:
        return PostgresSink(Postgres(type="postgres", table=self.table, dsn=self.dsn))

    def rows(self) -> list[dict[str, Any]]:
        if self.one("SELECT to_regclass(%s) IS NULL", self.table):
            return []
        return self.query(f"SELECT * FROM {self.table}")

    def query(self, text: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(text, values).fetchall()

    def one(self, text: str, *values: Any) -> Any:
        """Return the one value that a query has."""
        (row,) = self.query(text, *values)
        (value,) = row.values()
        return value


@pytest.fixture
def place(server: str) -> PostgresPlace:
    return PostgresPlace(server, f"reviews_{next(numbers)}")


class TestConformance(SinkConformance):
    """Takes the fixture of the module."""
