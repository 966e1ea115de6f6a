"""The jsonl sink: a folder of JSON Lines files, one per part, and a ledger beside them.

A file appears whole, under its own name, and delivered again it takes its own place; so the ledger may follow it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import Jsonl
from batchrun.sinks.part import Part
from batchrun.sinks.plain import plain_rows
from batchrun.storage.files import beside_of, sync_folder, write_atomically

LEDGER = "_delivered"  # readers of folders leave names alone that begin with _, and it is no *.jsonl
SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}

_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JsonlSink:
    """Writes part 3 to part-000003.jsonl."""

    Table = Jsonl

    def __init__(self, table: Jsonl) -> None:
        self._folder = table.path
        self._compression = table.compression

    def __repr__(self) -> str:
        return f"JsonlSink({self._folder})"

    def versions(self, run_id: str, numbers: Iterable[int]) -> Mapping[int, int]:
        """Return the version of each part whose file is there, as long as when it was delivered."""
        held: dict[int, int] = {}
        delivered = self._read_ledger(run_id)
        for number in numbers:
            version, size_bytes = delivered.get(number, (0, -1))
            if _size_bytes(self._file(number)) == size_bytes:
                held[number] = version
        return held

    def deliver(self, part: Part) -> None:
        """Write the part's file beside, sync it, give it its name, and enter it into the ledger."""
        self._begin(part)
        final = self._file(part.number)
        beside = beside_of(final)
        try:
            with self._opened(beside) as file:
                for batch in part.batches():
                    file.write("".join(f"{_to_json(row)}\n" for row in plain_rows(batch)).encode())
            _sync(beside)
            size_bytes = beside.stat().st_size
            beside.replace(final)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)
        self._enter({"part": part.number, "version": part.version, "size_bytes": size_bytes})

    def close(self) -> None:
        """Nothing stays open between two parts."""

    def _file(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}{SUFFIXES[self._compression]}"

    @property
    def _ledger(self) -> Path:
        return self._folder / LEDGER

    def _opened(self, path: Path) -> Any:
        """Return a file to write rows to; closing it closes what is below it too."""
        if self._compression == "none":
            return path.open("wb")
        return pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), self._compression)

    def _begin(self, part: Part) -> None:
        """Make the folder and its ledger; cut a line off that a kill has torn, so that the next begins on its own."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._ledger.exists():
            head = {"run_id": part.run_id, "emulated": part.emulated, "compression": self._compression}
            write_atomically(self._ledger, f"{_to_json(head)}\n".encode())
            return
        text = self._ledger.read_bytes()
        if not text.endswith(b"\n"):
            write_atomically(self._ledger, text[: text.rfind(b"\n") + 1])

    def _enter(self, line: Mapping[str, Any]) -> None:
        with self._ledger.open("ab") as ledger:
            ledger.write(f"{_to_json(line)}\n".encode())
            ledger.flush()
            os.fsync(ledger.fileno())

    def _read_ledger(self, run_id: str) -> dict[int, tuple[int, int]]:
        """Return version and size [bytes] of each part that was entered."""
        try:
            lines = self._ledger.read_bytes().split(b"\n")
        except FileNotFoundError:
            self._check_no_strangers()
            return {}
        try:
            head, *entries = [
                json.loads(line) for line in lines[:-1]
            ]  # after the last newline: nothing, or a torn line
            owner, compression = head["run_id"], head["compression"]
            delivered = {one["part"]: (one["version"], one["size_bytes"]) for one in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise SinkError(
                f"{self._ledger}: is no ledger of a jsonl sink; name another folder, or move it away"
            ) from error
        if owner != run_id:
            raise SinkError(
                f"{self._folder}: holds the results of run {owner}, this output is run {run_id}: "
                "move the folder away, or name another"
            )
        if compression != self._compression:
            raise SinkError(f"{self._folder}: was begun with compression = {compression!r}; name another folder")
        return delivered

    def _check_no_strangers(self) -> None:
        strangers = sorted(path.name for path in self._folder.glob("*.jsonl*"))
        if strangers:
            raise SinkError(f"{self._folder}: holds files that no run delivered ({strangers[0]}); name another folder")


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
