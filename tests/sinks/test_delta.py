"""The delta sink."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from batchrun.jobspec.sinks import Delta
from batchrun.sinks.conformance import SinkConformance
from batchrun.sinks.delta import DeltaSink


@dataclass(frozen=True)
class DeltaPlace:
    """A Delta Lake table in a folder."""

    path: Path

    def sink(self) -> DeltaSink:
        return DeltaSink(Delta(type="delta", path=str(self.path)))

    def rows(self) -> list[dict[str, Any]]:
        try:
            table = DeltaTable(self.path)
        except TableNotFoundError:
            return []
        rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
        return rows


class TestConformance(SinkConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> DeltaPlace:
        return DeltaPlace(tmp_path / "table")
