"""A run with sinks that is killed while it delivers: the next one leaves every row in every sink once."""

import json
import time
from pathlib import Path
from random import Random

from deltalake import DeltaTable
from runs import emulator, kill, rows_of, run, start, write_job

from batchrun.api import verify

ROWS = 600  # 3 parts
SINKS = """
[[sink]]
type = "jsonl"
path = "lines"
[[sink]]
type = "delta"
path = "table"
"""


def lines_in(folder: Path) -> list[int]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line)["row"] for file in files for line in file.read_text().splitlines()]


def test_after_a_kill_every_row_is_in_every_sink_once(tmp_path: Path) -> None:
    chance = Random(0)
    with emulator("--latency-s", "0.02") as url:
        job = write_job(tmp_path, url, ROWS)
        job.write_text(job.read_text() + SINKS)
        process = start(job)
        deadline_s = time.monotonic() + 30
        while not list((tmp_path / "lines").glob("part-*")) and time.monotonic() < deadline_s:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        kill(process)
        assert not (tmp_path / "out" / "_SUCCESS").exists()
        summary = run(job)

    assert summary["exit_code"] == 0
    assert [sink["outstanding"] for sink in summary["sinks"]] == [0, 0]
    assert rows_of(job) == list(range(ROWS))
    assert lines_in(tmp_path / "lines") == list(range(ROWS))
    assert sorted(DeltaTable(tmp_path / "table").to_pyarrow_table(columns=["row"])["row"].to_pylist()) == list(
        range(ROWS)
    )
    assert verify(job) == []
