"""The jsonl sink."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchrun.jobspec.sinks import Jsonl
from batchrun.sinks.conformance import SinkConformance
from batchrun.sinks.jsonl import JsonlSink


@dataclass(frozen=True)
class JsonlPlace:
    """A folder of JSON Lines."""

    path: Path

    def sink(self) -> JsonlSink:
        return JsonlSink(Jsonl(type="jsonl", path=self.path))

    def rows(self) -> list[dict[str, Any]]:
        files = sorted(self.path.glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


class TestConformance(SinkConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> JsonlPlace:
        return JsonlPlace(tmp_path / "lines")
