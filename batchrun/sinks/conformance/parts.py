"""Parts made without a run: small ones, one with columns of every type, a large one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.records import Totals
from batchrun.sinks.part import FinishedParts, Part
from batchrun.storage.folder import Folder
from batchrun.storage.part_facts import KEY, PartFacts, sign
from batchrun.storage.ranges import Range
from batchrun.storage.schema import RESULT, ROW

RUN = "0" * 31 + "1"
ROWS_PER_PART = 10
FINISHED_AT = datetime(2026, 11, 20, 8, 0, 0, 250_000, UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the parts of one run in a folder, each with `ROWS_PER_PART` rows."""

    data: Path
    run_id: str = RUN

    @classmethod
    def made(cls, base: Path, parts: int, text: str = "one") -> "Parts":
        """Make so many parts in a folder of their own below `base`."""
        made = cls(base / "data")
        made.data.mkdir(exist_ok=True)
        for number in range(parts):
            made.write(number, text)
        return made

    def write(self, number: int, text: str = "one", kept: pa.Table | None = None, rows: int = ROWS_PER_PART) -> None:
        """Write or replace a part whose answers begin with `text`; `kept` are columns carried over."""
        first_row = number * ROWS_PER_PART
        of = Range(number, first_row, first_row + rows)
        table = _results(of, [f"{text} {row}" for row in range(of.first_row, of.stop_row)])
        if kept is not None:
            for field in kept.schema:
                table = table.append_column(field, kept.column(field.name))
        self._write(of, table.schema, [table])

    def write_large(self, rows: int) -> None:
        """Write part 0 with so many rows of 1.6 KB that do not compress, in row groups as a run writes them."""
        chance = Random(0)
        pool = [chance.randbytes(400).hex() for _ in range(2_000)]

        def tables(at_once: int = 1_000) -> Iterator[pa.Table]:
            for first_row in range(0, rows, at_once):
                numbers = range(first_row, min(first_row + at_once, rows))
                answers = [pool[row % len(pool)] + pool[row // len(pool)] for row in numbers]
                yield _results(Range(0, first_row, numbers.stop), answers)

        self._write(Range(0, 0, rows), pa.schema([ROW, *RESULT]), tables())

    def all(self) -> list[Part]:
        """Return the parts that are there."""
        return list(FinishedParts(Folder(self.data.parent), self.run_id).parts().values())

    def _write(self, of: Range, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        facts = PartFacts(of.number, of.first_row, of.last_row, self.run_id, emulated=True, totals=Totals(of.rows))
        beside = self.data.with_name(of.part_name)
        with pq.ParquetWriter(
            beside, schema, use_dictionary=False, compression="none", write_page_checksum=True
        ) as file:
            for table in tables:
                file.write_table(table)
            file.add_key_value_metadata({KEY.decode(): facts.to_json()})
        sign(beside, facts)
        beside.rename(self.data / of.part_name)


def _results(of: Range, answers: list[str]) -> pa.Table:
    given: dict[str, Any] = {
        "row": pa.array(range(of.first_row, of.stop_row), pa.int64()),
        "status": ["ok"] * of.rows,
        "text": answers,
        "cost_usd": [0.25] * of.rows,
        "finished_at": pa.array([FINISHED_AT] * of.rows, pa.timestamp("ms", "UTC")),
    }
    columns = [given.get(field.name, pa.nulls(of.rows, field.type)) for field in (ROW, *RESULT)]
    return pa.Table.from_arrays(columns, schema=pa.schema([ROW, *RESULT]))


def every_type(rows: int) -> pa.Table:
    """Return a column of each type that a carried-over column may have; every other cell is null."""
    values: dict[str, tuple[pa.DataType, Any]] = {
        "truth": (pa.bool_(), True),
        "int8": (pa.int8(), -7),
        "uint64": (pa.uint64(), 2**64 - 1),
        "float": (pa.float32(), 0.5),
        "decimal": (pa.decimal128(20, 4), Decimal("-1234567.8900")),
        "bytes": (pa.binary(), b"\x00\xff"),
        "fixed": (pa.binary(2), b"\x00\xff"),
        "date": (pa.date32(), date(2026, 2, 28)),
        "time": (pa.time64("us"), datetime(2026, 2, 28, 23, 59, 59, 5).time()),  # noqa: DTZ001 - of day
        "naive": (pa.timestamp("us"), datetime(2026, 2, 28, 23, 59, 59)),  # noqa: DTZ001 - without a time zone
        "moment": (pa.timestamp("ns", "Europe/Berlin"), datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)),
        "duration": (pa.duration("ms"), 1_500),
        "large": (pa.large_string(), "large"),
        "few": (pa.dictionary(pa.int32(), pa.string()), "few"),
        "list": (pa.list_(pa.struct([("role", pa.string()), ("n", pa.int32())])), [{"role": "user", "n": None}]),
        "struct": (pa.struct([("a b", pa.list_(pa.float64())), ("at", pa.date32())]), {"a b": [1.5], "at": None}),
        "map": (pa.map_(pa.string(), pa.int64()), [("k", 1)]),
    }
    columns = {
        name: pa.array([value if row % 2 == 0 else None for row in range(rows)], kind)
        for name, (kind, value) in values.items()
    }
    numbers = pa.array([2**62 + row if row % 2 == 0 else None for row in range(rows)], pa.int64())
    return pa.table({**columns, "a big number": numbers})
