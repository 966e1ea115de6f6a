"""What a start says of the results that an earlier one left, or that are not there any more."""

import shutil
from pathlib import Path

import pytest

from batchrun.records import Status
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse


def notes(ended: Rehearsal) -> list[str]:
    return [note for note in ended.summary["notes"] if "are gone" in note]


@pytest.fixture
def stopped(tmp_path: Path) -> Rehearsal:
    """A run of 60 rows that was stopped with results in a log and in parts."""
    spec = job(
        tmp_path, numbered(60), output={"rows_per_part": 10}, limits={"deadline": 2.6, "drain": 1.0, "max_in_flight": 4}
    )
    ended = rehearse(spec)
    assert (ended.code, ended.summary["rows"] % 10 != 0) == (3, True)
    return ended


def test_results_whose_log_was_removed_are_missed(stopped: Rehearsal, tmp_path: Path) -> None:
    in_parts = stopped.summary["rows"] // 10 * 10
    for log in (stopped.spec.output.path / "wal").glob("*.log"):
        log.unlink()
    ended = rehearse(job(tmp_path, numbered(60), output={"rows_per_part": 10}), stopped.transport)

    gone = stopped.summary["rows"] - in_parts
    assert gone > 0
    assert notes(ended) == [
        f"{gone} results that an earlier run had are gone, by a power cut or because files of "
        f"{stopped.spec.output.path} were removed: their rows are sent again and paid for twice"
    ]


def test_a_data_folder_that_was_removed_is_missed(tmp_path: Path) -> None:
    first = rehearse(job(tmp_path, numbered(20)))
    shutil.rmtree(first.spec.output.path / "data")
    ended = rehearse(first.spec, first.transport)

    assert (ended.code, len(notes(ended)), ended.stats["repeated_calls"]) == (0, 1, 20)


def test_nothing_is_missed_after_an_ordinary_stop_or_a_retry(stopped: Rehearsal, tmp_path: Path) -> None:
    whole = job(tmp_path, [*numbered(59), numbered(60)[59]], output={"rows_per_part": 10})
    ended = rehearse(whole, stopped.transport)
    again = rehearse(whole, stopped.transport, again=[Status.FAILED])

    assert [notes(one) for one in (stopped, ended, again)] == [[], [], []]


def test_the_summary_says_what_calls_of_unknown_end_may_have_cost(tmp_path: Path) -> None:
    ended = rehearse(job(tmp_path, [*numbered(3), "[[fault=reset*1]] Name a fish."]))

    assert ended.code == 0
    assert 0 < ended.summary["usd_unsettled"] < 0.01
