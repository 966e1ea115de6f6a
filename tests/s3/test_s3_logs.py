"""Copies of logs in a bucket: joined, continued after a lost answer, never mixed with those of another generation."""

from pathlib import Path
from threading import Barrier

import pytest

from batchrun.errors import LockedError, StorageError
from batchrun.storage.log_lines import again_line, outcome_line
from batchrun.storage.ranges import Range
from batchrun.storage.replay import read_log
from batchrun.storage.s3 import Bucket
from batchrun.storage.s3.bucket import Content
from batchrun.storage.s3.logs import LogCopies
from tests.storage.outputs import outcome

NAME = "000000.log"
OF = Range(0, 0, 4)


def machine(bucket: Bucket, folder: Path) -> LogCopies:
    """Return the copies as a machine with its own folder sees them."""
    folder.mkdir(exist_ok=True)
    return LogCopies(bucket, "out/wal/", folder)


def append(folder: Path, *lines: bytes) -> None:
    with (folder / NAME).open("ab") as log:
        log.write(b"".join(lines))


def rows(folder: Path) -> list[str]:
    """Return what the log says of each row."""
    log = read_log(folder / NAME, OF)
    assert log.torn_lines == 0
    return [str(log.sums.by_status), *sorted(str(row) for row in log.spent)]


def test_another_machine_gets_all_that_was_copied(bucket: Bucket, tmp_path: Path) -> None:
    first = machine(bucket, tmp_path / "a")
    for row in range(3):
        append(tmp_path / "a", outcome_line(outcome(row)))
        first.flush([NAME])
    machine(bucket, tmp_path / "b").fetch()

    assert (tmp_path / "b" / NAME).read_bytes() == (tmp_path / "a" / NAME).read_bytes()


def test_stretches_are_read_many_at_once_and_joined_in_their_order(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, get, together = machine(bucket, tmp_path / "a"), Bucket.get, Barrier(4)

    def held_up(self: Bucket, key: str) -> Content | None:
        together.wait(5)  # one by one, the first would wait for a second that never comes
        return get(self, key)

    for row in range(4):
        append(tmp_path / "a", outcome_line(outcome(row)))
        first.flush([NAME])
    monkeypatch.setattr(Bucket, "get", held_up)
    machine(bucket, tmp_path / "b").fetch()

    assert (tmp_path / "b" / NAME).read_bytes() == (tmp_path / "a" / NAME).read_bytes()


def test_a_stretch_behind_one_that_is_gone_is_no_part_of_the_log(bucket: Bucket, tmp_path: Path) -> None:
    first = machine(bucket, tmp_path / "a")
    for row in range(3):
        append(tmp_path / "a", outcome_line(outcome(row)))
        first.flush([NAME])
    bucket.delete([[one.key for one in bucket.objects("out/wal/")][1]])
    machine(bucket, tmp_path / "b").fetch()

    assert (tmp_path / "b" / NAME).read_bytes() == outcome_line(outcome(0))


def test_lines_that_were_not_copied_come_behind_those_of_who_went_on(bucket: Bucket, tmp_path: Path) -> None:
    first = machine(bucket, tmp_path / "a")
    append(tmp_path / "a", outcome_line(outcome(0)))
    first.flush([NAME])
    append(tmp_path / "a", outcome_line(outcome(1)))
    second = machine(bucket, tmp_path / "b")
    second.fetch()
    append(tmp_path / "b", outcome_line(outcome(2)))
    second.flush([NAME])
    machine(bucket, tmp_path / "a").fetch()

    assert rows(tmp_path / "a") == ["{'ok': 3}"]


def test_a_log_of_before_the_part_is_not_mixed_with_that_of_rows_sent_again(bucket: Bucket, tmp_path: Path) -> None:
    machine(bucket, tmp_path / "a")
    append(tmp_path / "a", outcome_line(outcome(0, text="old")))
    second = machine(bucket, tmp_path / "b")
    append(tmp_path / "b", again_line("digest"), outcome_line(outcome(1)))
    second.flush([NAME])
    machine(bucket, tmp_path / "a").fetch()

    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


def test_a_copy_whose_answer_was_lost_is_continued(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, create = machine(bucket, tmp_path / "a"), Bucket.create

    def lost(self: Bucket, key: str, content: bytes) -> str:
        create(self, key, content)
        raise StorageError("the store is away")

    append(tmp_path / "a", outcome_line(outcome(0)))
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", lost)
        with pytest.raises(StorageError, match="away"):
            copies.flush([NAME])
    append(tmp_path / "a", outcome_line(outcome(1)))
    for _ in range(2):
        copies.flush([NAME])
    machine(bucket, tmp_path / "b").fetch()

    assert rows(tmp_path / "b") == ["{'ok': 2}"]


def test_a_stretch_of_somebody_else_means_that_the_output_is_theirs(bucket: Bucket, tmp_path: Path) -> None:
    copies = machine(bucket, tmp_path / "a")
    append(tmp_path / "a", outcome_line(outcome(0)))
    bucket.put(f"out/wal/{NAME}.000000000000", outcome_line(outcome(3)))

    with pytest.raises(LockedError, match="another run holds this output by now"):
        copies.flush([NAME])


def test_a_removed_log_leaves_no_copies_and_its_successor_begins_anew(bucket: Bucket, tmp_path: Path) -> None:
    copies = machine(bucket, tmp_path / "a")
    append(tmp_path / "a", outcome_line(outcome(0)))
    copies.flush([NAME])
    copies.remove(NAME)
    append(tmp_path / "a", again_line("digest"), outcome_line(outcome(1)))
    copies.flush([NAME])
    machine(bucket, tmp_path / "b").fetch()

    assert (tmp_path / "b" / NAME).read_bytes() == (tmp_path / "a" / NAME).read_bytes()


def test_what_a_console_leaves_among_the_copies_is_passed_over(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("out/wal/", b"")
    machine(bucket, tmp_path / "a").fetch()

    assert list((tmp_path / "a").iterdir()) == []
