"""Outputs that were damaged between two starts: what is said, what is lost, and how it goes on."""

import shutil
from pathlib import Path

import pytest

from tests.torture.bench import Bench
from tests.torture.books import Books
from tests.torture.jobs import KINDS
from tests.torture.points import PLAIN
from tests.torture.remains import events
from tests.torture.zygote import Zygote

ROWS = KINDS[PLAIN].rows
IN_A_PART = KINDS[PLAIN].rows_per_part


def more(case: object) -> object:
    """Leave a case to `make torture`."""
    return pytest.param(case, marks=pytest.mark.torture)


@pytest.fixture
def bench(zygote: Zygote, books: Books, base: Path) -> Bench:
    """A job whose output nobody has begun."""
    return Bench(zygote, books, base)


# Logs


@pytest.mark.parametrize("torn", [b'00000000 {"outcome":[3,"ok"', more(b"\0" * 5_000)])
def test_a_torn_last_line_is_dropped_and_said(bench: Bench, torn: bytes) -> None:
    bench.begin()
    log, in_flight = bench.logs()[-1], bench.in_flight
    log.write_bytes(log.read_bytes() + torn)
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert any("1 torn line" in note for note in ended.summary["notes"])
    assert bench.whole
    assert bench.paid.repeated <= in_flight


@pytest.mark.parametrize("garbage", [b"\0\xff" * 500_000 + b"\n", more(b'00000000 {"outcome":[]}\n'), more(b"\n")])
def test_a_line_of_garbage_in_the_midst_costs_no_row_and_no_call(bench: Bench, garbage: bytes) -> None:
    bench.begin()
    log, in_flight = bench.logs()[-1], bench.in_flight
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], garbage, *lines[3:]]))
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert any("1 torn line" in note for note in ended.summary["notes"])
    assert bench.whole
    assert bench.paid.repeated <= in_flight


def test_an_outcome_that_was_overwritten_is_the_one_row_that_is_sent_again(bench: Bench) -> None:
    bench.begin(nth=6)
    log, in_flight = bench.logs()[0], bench.in_flight
    lines = log.read_bytes().splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if next(iter(events(line)))[0] == "outcome")
    lines[place] = b"x" * (len(lines[place]) - 1) + b"\n"
    log.write_bytes(b"".join(lines))
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert bench.whole
    assert 1 <= bench.paid.repeated <= in_flight + 1


@pytest.mark.torture
def test_a_line_that_appears_twice_counts_once(bench: Bench) -> None:
    bench.begin()
    log, in_flight = bench.logs()[-1], bench.in_flight
    log.write_bytes(log.read_bytes() * 2)
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert bench.whole
    assert bench.paid.repeated <= in_flight


@pytest.mark.torture
def test_the_log_of_another_range_is_not_taken_for_this_ones(bench: Bench) -> None:
    bench.begin(nth=6)
    first, in_flight = bench.logs()[0], bench.in_flight
    shutil.copy(first, first.with_name("000003.log"))
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert bench.whole
    assert bench.paid.repeated <= in_flight


# Parts


def test_a_truncated_part_is_named_and_moved_away_it_is_written_again(bench: Bench) -> None:
    assert bench.run().code == 0
    part = bench.part(1)
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    ended, verified = bench.run(), bench.on_job("verify")

    assert ended.code == 4
    assert f"{part}: not a part of a batchrun output" in ended.err
    assert "move it away and run again" in ended.err
    assert verified.code == 1
    assert str(part) in verified.out
    part.rename(bench.base / "moved.parquet")
    assert bench.run().code == 0
    assert bench.whole
    assert bench.paid.repeated == IN_A_PART  # as the message says


@pytest.mark.parametrize("content", [b"", more(b"PAR1"), more(b"\0" * 4_096)])
def test_a_file_that_bears_a_parts_name_and_is_none_is_named(bench: Bench, content: bytes) -> None:
    bench.begin()
    bench.part(3).write_bytes(content)
    ended = bench.run()

    assert ended.code == 4
    assert f"{bench.part(3)}: not a part" in ended.err
    bench.part(3).unlink()
    assert bench.run().code == 0
    assert bench.whole


def test_a_part_of_another_run_is_named(bench: Bench, zygote: Zygote, books: Books) -> None:
    other = bench.base / "other"
    other.mkdir()
    stranger = Bench(zygote, books, other)
    assert stranger.run().code == 0
    assert bench.run().code == 0
    shutil.copy(stranger.part(2), bench.part(2))
    ended = bench.run()

    assert ended.code == 4
    assert f"{bench.part(2)}: is not this output's part" in ended.err
    assert "move it away" in ended.err


@pytest.mark.torture
def test_a_part_in_anothers_place_is_named(bench: Bench) -> None:
    assert bench.run().code == 0
    shutil.copy(bench.part(0), bench.part(2))
    ended = bench.run()

    assert ended.code == 4
    assert f"{bench.part(2)}: is not this output's part: it holds rows 0 to 11" in ended.err


# Manifest, folders, clock


def test_a_truncated_manifest_is_named_with_the_way_out(bench: Bench) -> None:
    bench.begin()
    manifest = bench.output / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    ended = bench.run()

    assert ended.code == 4
    assert f"{manifest}: cannot be read as a manifest" in ended.err
    assert "--fresh" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert bench.on_job("verify").code != 0
    assert bench.run("--fresh").code == 0
    assert bench.whole
    assert [path.read_bytes() for path in bench.base.glob("out.old-*/manifest.json")] == [whole[:100]]


@pytest.mark.parametrize("name", ["wal", more("tmp"), more("data")])
def test_a_folder_that_is_missing_at_a_resume_is_made_again(bench: Bench, name: str) -> None:
    bench.begin()
    shutil.rmtree(bench.output / name)
    ended = bench.run()

    assert ended.code == 0, ended.err
    assert bench.whole


@pytest.mark.parametrize("name", ["wal", more("tmp"), more("data"), more("lock"), more("manifest.json")])
def test_something_else_in_a_folders_or_a_files_place_is_named(bench: Bench, name: str) -> None:
    bench.begin()
    place = bench.output / name
    place.rename(bench.base / "moved")
    if name in {"tmp", "wal", "data"}:
        place.write_text("a file")
    else:
        place.mkdir()
    ended = bench.run()

    assert ended.code == 4, ended.err
    assert str(place) in ended.err
    assert len(ended.err.splitlines()) == 1
    place.unlink() if place.is_file() else place.rmdir()
    (bench.base / "moved").rename(place)
    assert bench.run().code == 0
    assert bench.whole


def test_a_clock_that_goes_back_changes_nothing(bench: Bench) -> None:
    bench.begin()
    in_flight = bench.in_flight
    ended = bench.run(prepare=("has_a_clock_that_goes_back",))

    assert ended.code == 0, ended.err
    assert bench.whole
    assert bench.paid.repeated <= in_flight


def test_a_fresh_start_within_the_same_second_as_another_overwrites_nothing(bench: Bench) -> None:
    for _ in range(3):
        assert bench.run("--fresh").code == 0

    aside = sorted(bench.base.glob("out.old-*"))
    assert len(aside) == 2
    assert all(len(list((folder / "data").iterdir())) == ROWS // IN_A_PART for folder in aside)


def test_an_output_folder_that_is_removed_under_a_run_ends_it_and_is_named(bench: Bench) -> None:
    ended = bench.run(prepare=("loses_its_output", str(bench.output), "1"))

    assert ended.code == 4, ended
    assert ended.summary["reason"].startswith("part-00000"), ended.summary["reason"]
    assert str(bench.output) in ended.summary["reason"]
    assert bench.run().code == 0
    assert bench.whole
