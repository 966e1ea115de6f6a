"""output.fsync: how many outcomes a power cut can take, over whole runs."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchrun.records import Outcome
from batchrun.storage.output import Output
from tests.run.rehearsal import job, numbered, rehearse

IN_FLIGHT = 4


class Disk:
    """Counts what a power cut would take at each moment, and when the logs were synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: Callable[[], bool] = lambda: False) -> None:
        self.at_stake = self.most_at_stake = self.syncs = 0
        fsync, record = os.fsync, Output.record

        def counting_fsync(descriptor: int) -> None:
            if self._is_log(descriptor):
                if broken():
                    raise OSError(errno.EIO, "Input/output error")
                before = self.at_stake
                fsync(descriptor)
                self.at_stake -= before
                self.syncs += 1
            else:
                fsync(descriptor)

        def counting_record(output: Output, outcome: Outcome) -> None:
            self.at_stake += 1
            self.most_at_stake = max(self.most_at_stake, self.at_stake)
            record(output, outcome)

        monkeypatch.setattr(os, "fsync", counting_fsync)
        monkeypatch.setattr(Output, "record", counting_record)

    @staticmethod
    def _is_log(descriptor: int) -> bool:
        return Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".log"


def spec(folder: Path, fsync: str | None = None, rows: int = 60) -> Any:
    output = {"rows_per_part": 1000} | ({"fsync": fsync} if fsync else {})
    limits = {"max_in_flight": IN_FLIGHT}
    return job(folder, numbered(rows), output=output, limits=limits, quota={"tokens_per_minute": 10_000_000})


def test_always_leaves_no_more_at_stake_than_calls_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    assert rehearse(spec(tmp_path, "always")).code == 0
    assert 0 < disk.most_at_stake <= IN_FLIGHT


def test_the_default_syncs_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    ended = rehearse(spec(tmp_path))

    assert ended.code == 0
    assert ended.wall_s > 3
    assert disk.syncs == pytest.approx(ended.wall_s, abs=2)
    assert disk.most_at_stake > IN_FLIGHT


def test_never_syncs_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    assert rehearse(spec(tmp_path, "never")).code == 0
    assert disk.syncs == 0


def test_a_stopped_run_leaves_its_logs_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    spec(tmp_path)
    stopped = rehearse(job(tmp_path, numbered(60), limits={"max_in_flight": IN_FLIGHT, "deadline": 2.2, "drain": "1s"}))

    assert stopped.code == 3
    assert 0 < stopped.summary["rows"] < 60
    assert disk.at_stake == 0


@pytest.mark.parametrize("fsync", ["always", "1s"])
def test_a_disk_that_does_not_sync_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str
) -> None:
    with monkeypatch.context() as patch:
        Disk(patch, broken=lambda: True)
        stopped = rehearse(spec(tmp_path, fsync))
    ended = rehearse(spec(tmp_path, fsync), stopped.transport)

    assert stopped.code == 4
    assert "the write-ahead log cannot be synced: [Errno 5]" in stopped.reason
    assert (ended.code, [row["row"] for row in ended.rows()]) == (0, list(range(60)))
    assert ended.stats["repeated_calls"] == 0
