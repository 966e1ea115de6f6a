"""The log of a range: what a killed run leaves in it is found again, and what is not whole is not believed."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from batchrun.records import Spent, Status, Totals, Usage
from batchrun.storage.ranges import Range
from batchrun.storage.replay import read_log
from batchrun.storage.wal import RangeLog
from tests.storage.outputs import failure, outcome

OF = Range(3, 100, 104)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / OF.log_name


def written(path: Path, rows: list[int]) -> None:
    """Leave a log with the outcomes of `rows`."""
    log = RangeLog(path, OF)
    for row in rows:
        log.append(outcome(row))
    log.close()


def test_outcomes_come_back_in_row_order(path: Path) -> None:
    log = RangeLog(path, OF)
    ends = [outcome(102), failure(100), outcome(103, text="line\nbreak \ud83d \x00"), outcome(101, text="x" * 100_000)]
    for one in ends:
        log.append(one)

    assert log.complete
    assert list(log.outcomes()) == [ends[1], ends[3], ends[0], ends[2]]
    log.close()


def test_a_closed_log_is_replayed(path: Path) -> None:
    written(path, [101, 103])

    log = RangeLog(path, OF)
    assert [log.has(row) for row in range(100, 104)] == [False, True, False, True]
    assert log.totals == Totals(2, {"ok": 2}, Usage(20, 4), 0.5)
    assert (log.replay.torn_lines, log.replay.in_flight) == (0, {})
    log.close()


def test_what_a_killed_run_did_not_sync_is_synced_by_the_next_start(path: Path) -> None:
    written(path, [101, 103])

    log = RangeLog(path, OF)
    assert log.unsynced
    log.sync()
    assert not log.unsynced
    log.close()


def test_statuses_are_counted_under_plain_text(path: Path) -> None:
    log = RangeLog(path, OF)
    log.append(outcome(100, status=Status.TRUNCATED))

    assert json.dumps(log.totals.by_status) == '{"truncated": 1}'
    assert {type(status) for status in log.totals.by_status} == {str}
    log.close()


def test_totals_once_told_do_not_change(path: Path) -> None:
    log = RangeLog(path, OF)
    before = log.totals
    log.append(outcome(100))

    assert before == Totals()
    log.close()


def test_a_row_ends_once(path: Path) -> None:
    log = RangeLog(path, OF)
    log.append(outcome(100))

    with pytest.raises(ValueError, match="row 100 has an outcome already"):
        log.append(outcome(100))
    log.close()


def test_an_empty_log_is_a_log(path: Path) -> None:
    path.touch()

    log = RangeLog(path, OF)
    assert (log.totals, log.replay.torn_lines, log.complete) == (Totals(), 0, False)
    log.close()


def test_a_torn_last_line_is_cut_off_and_the_next_line_is_whole(path: Path) -> None:
    written(path, [100, 101])
    path.write_bytes(path.read_bytes()[:-5])

    log = RangeLog(path, OF)
    assert (log.replay.torn_lines, log.has(101)) == (1, False)
    log.append(outcome(101))
    log.close()
    assert read_log(path, OF).torn_lines == 0
    assert read_log(path, OF).sums.rows == 2


@pytest.mark.parametrize("lost", range(1, 40))
def test_a_log_torn_anywhere_in_its_last_line_keeps_the_others(path: Path, lost: int) -> None:
    written(path, [100, 101])
    path.write_bytes(path.read_bytes()[:-lost])

    replay = read_log(path, OF)
    assert (replay.sums.rows, replay.torn_lines) == (1, 1)


def test_garbage_in_the_middle_loses_only_its_own_line(path: Path) -> None:
    written(path, [100, 101, 102])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"\x00garbage \xff" + lines[1][10:]
    path.write_bytes(b"".join(lines))

    log = RangeLog(path, OF)
    assert [log.has(row) for row in range(100, 104)] == [True, False, True, False]
    assert log.replay.torn_lines == 1
    for row in (101, 103):
        log.append(outcome(row))
    assert [one.row for one in log.outcomes()] == [100, 101, 102, 103]
    log.close()


def test_a_second_outcome_of_a_row_counts_for_nothing_but_its_dollars(path: Path) -> None:
    written(path, [100])
    path.write_bytes(path.read_bytes() * 2)

    replay = read_log(path, OF)
    assert replay.sums.totals == Totals(1, {"ok": 1}, Usage(10, 2), 0.25, unsettled_usd=0.25)


@pytest.mark.parametrize("content", [b'{"sent":99,"usd":1}', b'{"unsettled":104,"usd":1}', b"{}", b"[]", b"7"])
def test_a_sound_line_that_is_not_of_this_range_is_not_believed(path: Path, content: bytes) -> None:
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(content), content))

    replay = read_log(path, OF)
    assert (replay.sums.totals, replay.in_flight, replay.torn_lines) == (Totals(), {}, 1)


def test_an_outcome_of_another_range_is_not_believed(path: Path) -> None:
    other = RangeLog(path, Range(0, 0, 100))
    other.append(outcome(99))
    other.close()

    replay = read_log(path, OF)
    assert (replay.sums.totals, replay.torn_lines) == (Totals(), 1)


def test_rows_sent_without_an_end_count_with_the_most_they_may_have_cost(path: Path) -> None:
    log = RangeLog(path, OF)
    log.sent(100, 0.5)
    log.sent(101, 0.25)
    log.append(outcome(101))
    log.close()

    again = RangeLog(path, OF)
    assert again.replay.in_flight == {100: 0.5}
    assert again.totals.unsettled_usd == 0.5
    again.close()
    third = RangeLog(path, OF)  # and not once more at every start
    assert (third.replay.in_flight, third.totals.unsettled_usd) == ({}, 0.5)
    third.close()


def test_a_refused_call_is_no_longer_in_flight(path: Path) -> None:
    log = RangeLog(path, OF)
    log.sent(100, 0.5)
    log.unsettled(100, 0.0)
    log.close()

    replay = read_log(path, OF)
    assert (replay.in_flight, replay.sums.unsettled_usd) == ({}, 0.0)


def test_a_line_that_changes_on_disk_is_not_written_into_a_part(path: Path) -> None:
    log = RangeLog(path, OF)
    for row in range(100, 104):
        log.append(outcome(row))
    path.write_bytes(path.read_bytes().replace(b"answer 102", b"answer 109"))

    with pytest.raises(OSError, match="the outcome of row 102 does not read back"):
        list(log.outcomes())
    log.close()


def test_memory_is_eight_bytes_a_row(tmp_path: Path) -> None:
    replay = read_log(Path("/dev/null"), Range(0, 0, 1_000_000))

    assert replay.offsets.itemsize * len(replay.offsets) == 8_000_000


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from batchrun.storage.ranges import Range
from batchrun.storage.wal import RangeLog
from tests.storage.outputs import outcome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = RangeLog(Path(sys.argv[1]), Range(3, 100, 104))
log.append(outcome(100))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        log.append(outcome(101, text="x" * 5000))
    except OSError as error:
        print(type(error).__name__, log.has(101))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(outcome(102))
"""


def test_a_full_disk_leaves_no_half_line_and_the_log_goes_on(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], check=True, capture_output=True, text=True)

    assert done.stdout == "OSError False\nOSError False\n"
    replay = read_log(path, OF)
    assert (replay.torn_lines, replay.sums.rows) == (0, 2)


# Answers that are paid for and are not their row's last


def test_what_was_paid_counts_until_the_outcome_that_contains_it(path: Path) -> None:
    log = RangeLog(path, OF)
    log.sent(101, 0.5)
    log.paid(101, 0.125)

    assert log.totals.waiting_usd == 0.125
    log.append(outcome(101, cost_usd=0.375))  # 0.125 and 0.25
    assert (log.totals.cost_usd, log.totals.waiting_usd) == (0.375, 0.0)
    log.close()
    assert (read_log(path, OF).sums.waiting_usd, read_log(path, OF).spent) == (0.0, {})


def test_what_was_paid_before_a_kill_is_found_again(path: Path) -> None:
    log = RangeLog(path, OF)
    for cost_usd in (0.125, 0.25):
        log.sent(101, 0.5)
        log.paid(101, cost_usd)
    log.close()

    log = RangeLog(path, OF)
    assert (log.spent(101), log.replay.in_flight) == (Spent(0.375, attempts=2), {})
    assert log.totals.waiting_usd == 0.375
    log.append(outcome(101, cost_usd=0.625))
    assert (log.totals.cost_usd, log.totals.waiting_usd) == (0.625, 0.0)
    log.close()


def test_a_replay_knows_the_lengths_of_answers_and_of_nothing_else(path: Path) -> None:
    log = RangeLog(path, OF)
    log.append(outcome(100, usage=Usage(10, 60)))
    log.append(failure(101))
    log.append(outcome(102, usage=Usage(10, 70), status=Status.TRUNCATED, stop_reason="max_tokens"))
    log.close()

    assert list(read_log(path, OF).lengths) == [60, 70]
