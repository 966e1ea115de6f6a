"""The order of writes that a power cut tests, and runs whose disk takes no more."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchrun.errors import StorageError
from batchrun.jobspec import JobSpec
from batchrun.storage.folder import Folder
from batchrun.storage.part_facts import proven_facts
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse
from tests.storage.outputs import Made, make, object_at, outcome


@dataclass
class Disk:
    """What was synced, renamed and removed below a folder, in order; paths relative to it."""

    base: Path
    writes: list[tuple[str, ...]] = field(default_factory=list)
    whole: dict[str, bool] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """Return the path relative to the base."""
        return str(path.relative_to(self.base))

    def synced(self, descriptor: int) -> str | None:
        """Return the path of what is open, None if it is not below the base."""
        stat = os.fstat(descriptor)
        below = [self.base, *self.base.rglob("*")]
        return next((self.name(path) for path in below if _is(path, stat)), None)

    def of(self, *paths: str) -> list[tuple[str, ...]]:
        """Return the writes that concern these paths."""
        return [write for write in self.writes if {*paths} & {*write[1:]}]


def _is(path: Path, stat: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), stat)
    except FileNotFoundError:  # another thread was faster
        return False


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Record what happens to the output folder."""
    watched = Disk(tmp_path / "out")
    fsync, rename, replace, unlink = os.fsync, Path.rename, Path.replace, Path.unlink

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        if (name := watched.synced(descriptor)) is not None:
            watched.writes.append(("sync", name))

    def recording_rename(path: Path, to: Path) -> Path:
        watched.whole[watched.name(to)] = proven_facts(*object_at(path)).digest != "0" * 64
        watched.writes.append(("rename", watched.name(path), watched.name(to)))
        return rename(path, to)

    def recording_replace(path: Path, to: Path) -> Path:
        watched.writes.append(("replace", watched.name(path), watched.name(to)))
        return replace(path, to)

    def recording_unlink(path: Path, *, missing_ok: bool = False) -> None:
        watched.writes.append(("unlink", watched.name(path)))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "rename", recording_rename)
    monkeypatch.setattr(Path, "replace", recording_replace)
    monkeypatch.setattr(Path, "unlink", recording_unlink)
    return watched


def fill(made: Made) -> None:
    """Take the first range of an output through its log to its part."""
    output = made.open()
    (of, *_) = made.ranges
    for batch in made.source.read(made.kept.names, of.first_row, of.stop_row):
        output.accept(batch.first_row, batch.batch)
    for row in range(of.first_row, of.stop_row):
        output.record(outcome(row))
    output.write_part(of)
    output.close()


# The order of writes


def test_a_part_is_synced_before_it_appears_and_its_folder_after(tmp_path: Path, disk: Disk) -> None:
    made = make(tmp_path)
    fill(made)

    assert disk.of("tmp/part-000000.parquet", "data/part-000000.parquet", "data") == [
        ("sync", "tmp/part-000000.parquet"),
        ("rename", "tmp/part-000000.parquet", "data/part-000000.parquet"),
        ("sync", "data"),
    ]


def test_a_part_bears_its_digest_before_it_appears(tmp_path: Path, disk: Disk) -> None:
    fill(make(tmp_path))

    assert disk.whole == {"data/part-000000.parquet": True}


def test_a_log_goes_only_when_its_part_is_safe(tmp_path: Path, disk: Disk) -> None:
    fill(make(tmp_path))
    removed = disk.writes.index(("unlink", "wal/000000.log"))

    assert disk.writes.index(("sync", "data")) < removed
    assert ("unlink", "wal/000000.log") not in disk.writes[removed + 1 :]


def test_a_manifest_is_synced_before_it_appears_and_its_folder_after(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path)

    assert disk.writes == [
        ("sync", ".manifest.json.new"),
        ("replace", ".manifest.json.new", "manifest.json"),
        ("sync", "."),
    ]


def test_a_file_that_may_be_lost_is_not_synced(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path)
    disk.writes.clear()
    Folder(disk.base).write("status.json", b"{}", sync=False)

    assert disk.writes == [("replace", ".status.json.new", "status.json")]


def test_success_appears_after_every_part_is_safe(tmp_path: Path, disk: Disk) -> None:
    ended = rehearse(job(tmp_path, numbered(10), output={"rows_per_part": 3}))
    success = disk.writes.index(("replace", "._SUCCESS.new", "_SUCCESS"))
    syncs = [place for place, write in enumerate(disk.writes) if write == ("sync", "data")]

    assert ended.code == 0
    assert len(syncs) == 4
    assert max(syncs) < success
    assert disk.writes[success - 1 : success + 2 : 2] == [("sync", "._SUCCESS.new"), ("sync", ".")]


def test_the_manifest_is_safe_before_the_first_call(tmp_path: Path, disk: Disk) -> None:
    rehearse(job(tmp_path, numbered(3)))
    shown = disk.writes.index(("replace", ".manifest.json.new", "manifest.json"))

    assert disk.writes[shown + 1] == ("sync", ".")
    assert not any(write[0] == "rename" for write in disk.writes[:shown])


# Leftovers


def test_a_part_that_cannot_be_synced_does_not_appear_and_its_log_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path)

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        fill(made)

    assert list(made.folder.data.iterdir()) == []
    assert list(made.folder.tmp.iterdir()) == []
    assert [path.name for path in made.folder.wal.glob("*.log")] == ["000000.log"]


def test_leftovers_in_tmp_are_removed_by_the_next_start(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(10), limits={"rows": 4})
    rehearse(spec)
    left = spec.output.path / "tmp" / "part-000001.parquet"
    left.write_bytes(b"PAR1 half a part")
    ended = rehearse(job(tmp_path, numbered(10)))

    assert ended.code == 0
    assert list(left.parent.iterdir()) == []
    assert [row["row"] for row in ended.rows()] == list(range(10))


# Disks that take no more


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size_bytes`: EFBIG, as a full disk is ENOSPC. Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True)
class Case:
    """A job, and the size of file [bytes] at which only one of its files is too large."""

    prompts: list[str] | pa.Table
    largest_bytes: int
    changes: dict[str, Any]
    reason: str


CASES = {
    # 200 rows in one log of about 400 bytes a row
    "log": Case(numbered(200, "[[output_tokens=9]]"), 16_000, {}, "log cannot be written"),
    # a log of one row is some 700 bytes, the part of it some 10,000: its schema
    "part": Case(
        numbered(4, "[[output_tokens=9]]"), 4_000, {"output": {"rows_per_part": 1}}, "parquet cannot be written"
    ),
    # the carried-over texts fill the spool before anything is answered
    "spool": Case(
        pa.table({"text": numbered(40, "[[output_tokens=9]]"), "story": ["x" * 5_000] * 40}),
        60_000,
        {"input": {"keep": ["story"]}},
        "File too large",
    ),
}


def limited_run(folder: Path, case: Case) -> tuple[JobSpec, Rehearsal]:
    """Run a case with its limit."""
    spec = job(folder, case.prompts, **{"limits": {"max_failed": 1.0}, **case.changes})
    with largest_file(case.largest_bytes):
        return spec, rehearse(spec)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_file_that_cannot_be_written_ends_a_run_with_exit_4(tmp_path: Path, case: Case) -> None:
    _, ended = limited_run(tmp_path, case)

    assert ended.code == 4
    assert case.reason in ended.reason
    assert not ended.succeeded


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_next_start_with_room_finishes_with_every_row_once(tmp_path: Path, case: Case) -> None:
    spec, first = limited_run(tmp_path, case)
    second = rehearse(spec, first.transport)

    assert second.code == 0
    assert second.summary["resumed"] == first.summary["rows"]
    assert [row["row"] for row in second.rows()] == list(range(len(case.prompts)))


@pytest.mark.parametrize("name", ["log", "part"])
def test_what_was_recorded_before_the_disk_was_full_is_not_paid_again(tmp_path: Path, name: str) -> None:
    spec, first = limited_run(tmp_path, CASES[name])
    recorded, calls = first.summary["rows"], first.calls
    second = rehearse(spec, first.transport)

    assert recorded > 0
    assert second.calls - calls == len(CASES[name].prompts) - recorded


def test_a_manifest_that_cannot_be_written_ends_the_start_and_nothing_is_sent(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(3))
    with largest_file(200), pytest.raises(StorageError, match="File too large"):
        rehearse(spec)

    assert not (spec.output.path / "manifest.json").exists()
    assert rehearse(spec).code == 0
