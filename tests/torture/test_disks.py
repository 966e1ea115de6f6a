"""Disks that are full and folders that take nothing: what is said, what is kept, and how it goes on with room again."""

import re
from pathlib import Path

import pytest

from tests.torture import disks
from tests.torture.bench import Bench
from tests.torture.books import Books
from tests.torture.disks import read_only, read_only_disk, small_disk
from tests.torture.jobs import IN_FLIGHT
from tests.torture.zygote import Zygote

BOUND = ("is_bound_by_permissions",)
PAGE_BYTES = 4_096
READ_ONLY = "Read-only file system (mount it for writing, or choose another output.path)"
FULL = re.compile("No space left on device|File too large")


@pytest.fixture
def bench(zygote: Zygote, books: Books, base: Path) -> Bench:
    """A job whose output nobody has begun."""
    return Bench(zygote, books, base)


# From a disk on which not even the manifest fits to one that takes all but a part or two.
PAGES = [5, 9, *(pytest.param(pages, marks=pytest.mark.torture) for pages in (1, 2, 3, 4, 6, 7, 8, 10, 11, 12))]
A_FILE = re.compile(r"/disk/out(/\.manifest\.json\.new|/wal/\d+\.(log|kept\.arrow)|/tmp/part-\d+\.parquet)?(\W|$)")


@pytest.mark.parametrize("pages", PAGES)
def test_a_full_disk_ends_a_run_with_what_is_full_and_with_room_it_goes_on(
    pages: int, zygote: Zygote, books: Books, base: Path
) -> None:
    with small_disk(base / "disk", pages * PAGE_BYTES) as disk:
        bench = Bench(zygote, books, base)
        job = bench.job.read_text().replace('path = "out"', 'path = "disk/out"')
        bench.job.write_text(job)
        bench.output = disk.path / "out"
        ended = bench.run(prepare=disk.prepare)

        assert ended.code == 4, ended
        assert FULL.search(ended.summary["reason"])
        assert A_FILE.search(ended.summary["reason"]), ended.summary["reason"]
        done = ended.summary["rows"]
        disk.enlarge()
        ended = bench.run()

        assert ended.code == 0, ended.err
        assert ended.summary["resumed"] >= done
        assert bench.whole
        assert bench.paid.repeated <= IN_FLIGHT


def test_a_folder_that_may_not_be_written_is_named_before_a_call_goes_out(bench: Bench) -> None:
    bench.output.mkdir()
    with read_only(bench.output):
        ended = bench.run(prepare=BOUND)

    assert ended.code == 4, ended
    assert f"Permission denied: {bench.output}/" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert bench.paid.calls == 0


def test_an_output_that_became_read_only_is_named_and_goes_on_once_it_may_be_written(bench: Bench) -> None:
    bench.begin()
    paid, in_flight = bench.paid.calls, bench.in_flight
    with read_only(bench.output):
        ended = bench.run(prepare=BOUND)

    assert ended.code == 4, ended
    assert f"{bench.output}/lock: Permission denied" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert bench.paid.calls == paid
    assert bench.run(prepare=BOUND).code == 0
    assert bench.whole
    assert bench.paid.repeated <= in_flight


@pytest.mark.parametrize("mount", [True, False])
def test_a_read_only_disk_is_named_before_a_call_goes_out(
    bench: Bench, mount: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real mount where that is allowed, and with patched calls of the system everywhere."""
    if not mount:
        monkeypatch.setattr(disks, "may_mount", lambda: False)
    bench.output.mkdir()
    with read_only_disk(bench.output) as disk:
        ended = bench.run(prepare=disk.prepare)

    assert ended.code == 4, ended
    assert f"output.path {bench.output}: {READ_ONLY}: {bench.output}/" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert bench.paid.calls == 0


@pytest.mark.parametrize("mount", [True, False])
def test_an_output_whose_disk_became_read_only_goes_on_once_it_is_writable(
    bench: Bench, mount: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mount:
        monkeypatch.setattr(disks, "may_mount", lambda: False)
    bench.begin()
    paid, in_flight = bench.paid.calls, bench.in_flight
    with read_only_disk(bench.output) as disk:
        ended = bench.run(prepare=disk.prepare)

    assert ended.code == 4, ended
    assert f"{bench.output}/lock: {READ_ONLY}" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert bench.paid.calls == paid
    assert bench.run().code == 0
    assert bench.whole
    assert bench.paid.repeated <= in_flight


@pytest.mark.parametrize("name", ["data", *(pytest.param(name, marks=pytest.mark.torture) for name in ("wal", "tmp"))])
def test_a_folder_inside_that_may_not_be_written_is_named(bench: Bench, name: str) -> None:
    bench.begin()
    in_flight = bench.in_flight
    with read_only(bench.output / name):
        ended = bench.run(prepare=BOUND)

    assert ended.code == 4, ended
    assert str(bench.output / name) in ended.summary["reason"]
    assert "Permission denied" in ended.summary["reason"]
    assert bench.run(prepare=BOUND).code == 0
    assert bench.whole
    assert bench.paid.repeated <= in_flight + IN_FLIGHT
