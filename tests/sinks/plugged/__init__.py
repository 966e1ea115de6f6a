"""A plug-in sink as others would write it: boxes in memory, which can be made to fail or to hang."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from batchrun.sinks import Part, SinkError, SinkTable

BOXES: dict[str, "Box"] = {}
HANGS_S = 30.0  # a test that waits for it fails, and ends


class BoxTable(SinkTable):
    """The [[sink]] table of the plug-in."""

    box: str
    depth: int = 1

    @property
    def target(self) -> str:
        return self.box


@dataclass
class Box:
    """A destination."""

    parts: dict[int, tuple[int, list[dict[str, Any]]]] = field(default_factory=dict)
    tries: int = 0
    down: bool = False
    fails: int = 0  # so many deliveries to come
    refuses: frozenset[int] = frozenset()  # these parts, always
    hangs: Event | None = None  # a delivery waits for it

    def rows(self) -> list[dict[str, Any]]:
        return [row for _, rows in self.parts.values() for row in rows]


class BoxSink:
    """A session."""

    Table = BoxTable

    def __init__(self, table: BoxTable) -> None:
        self._box = BOXES.setdefault(table.box, Box())

    def versions(self, run_id: str, numbers: Iterable[int]) -> Mapping[int, int]:
        del run_id  # a box belongs to one test
        self._box.tries += 1
        if self._box.down:
            raise ConnectionRefusedError("nobody is at home")
        return {number: self._box.parts[number][0] for number in numbers if number in self._box.parts}

    def deliver(self, part: Part) -> None:
        rows = [row for batch in part.batches() for row in batch.to_pylist()]
        if self._box.hangs is not None:
            self._box.hangs.wait(HANGS_S)
        if part.number in self._box.refuses:
            raise ValueError("not this one")
        if self._box.fails:
            self._box.fails -= 1
            raise SinkError("the lid is shut")
        self._box.parts[part.number] = part.version, rows

    def close(self) -> None:
        pass


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plug-in as pip would: what importlib finds are files of metadata in a folder of the path."""
    told = folder / "boxes-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: boxes\nVersion: 1.0\n")
    entries = [
        "box = tests.sinks.plugged:BoxSink",
        "broken = tests.sinks.plugged:Missing",
        "none = tests.sinks:__doc__",
    ]
    (told / "entry_points.txt").write_text("\n".join(["[batchrun.sinks]", *entries, ""]))
    monkeypatch.syspath_prepend(str(folder))
    BOXES.clear()
