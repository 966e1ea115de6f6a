"""Deliveries beside a run: a sink that is down loses nothing and holds nothing up."""

import json
import time
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import pytest

from batchrun.api import RunOptions, StandIns, arun
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock
from batchrun.jobspec import JobSpec
from batchrun.sinks import deliveries
from batchrun.storage.folder import Folder
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse
from tests.sinks.plugged import BOXES, Box, install


@pytest.fixture(autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path_factory.mktemp("site"), monkeypatch)


@pytest.fixture
def box() -> Box:
    """Return the destination of the sink `red`."""
    return BOXES.setdefault("red", Box())


def delivered(folder: Path, rows: int = 10, boxes: tuple[str, ...] = ("red",), **changes: Any) -> JobSpec:
    """Return a job in parts of 2 rows with a sink into each box."""
    changes["output"] = {"rows_per_part": 2, **changes.get("output", {})}
    spec = job(folder, numbered(rows), **changes)
    return with_sinks(spec, boxes)


def with_sinks(spec: JobSpec, boxes: tuple[str, ...]) -> JobSpec:
    tables = [{"type": "box", "box": name, "name": name} for name in boxes]
    checked = JobSpec.from_mapping({**MINIMAL, "sink": tables}, base=spec.base).sink
    return spec.model_copy(update={"sink": checked})


MINIMAL = {
    "name": "x",
    "input": {"path": "in"},
    "prompt": {"user": "x"},
    "generation": {"max_tokens": 1},
    "routing": {"scopes": ["us"]},
    "output": {"path": "out"},
}


def numbers_of(box: Box) -> list[int]:
    return sorted(row["row"] for row in box.rows())


def notes(run: Rehearsal) -> list[str]:
    return [note for note in run.summary["notes"] if "sink" in note]


def test_a_run_delivers_every_part_and_then_writes_success(tmp_path: Path, box: Box) -> None:
    run = rehearse(delivered(tmp_path))

    assert (run.code, run.succeeded) == (0, True)
    assert sorted(box.rows(), key=lambda row: row["row"]) == run.rows()
    assert run.summary["sinks"] == [{"name": "red", "delivered": 5, "outstanding": 0}]


def test_a_job_without_sinks_says_nothing_of_them(tmp_path: Path) -> None:
    assert "sinks" not in rehearse(job(tmp_path, numbered(3))).summary


def test_parts_are_delivered_while_the_run_goes_on(tmp_path: Path, box: Box) -> None:
    """The deadline ends the run before its last parts; what was finished well before is in the sink."""
    spec = delivered(tmp_path, 60, limits={"deadline": "60s", "max_in_flight": 1}, emulator={"latency_s": 2.0})
    run = rehearse(spec)
    parts = len(list(Folder(spec.output.path).data.iterdir()))

    assert run.code == 3
    assert parts - 4 <= len(box.parts) <= parts
    assert len(box.parts) > 5


def test_a_sink_that_is_down_ends_a_finished_run_with_4_and_no_success(tmp_path: Path, box: Box) -> None:
    box.down = True
    run = rehearse(delivered(tmp_path))

    assert (run.code, run.succeeded) == (4, False)
    assert len(run.rows()) == 10
    assert run.reason == (
        "every row has its result; sink red: cannot be asked about 5 parts (0, 1, 2, 3, 4) "
        "(ConnectionRefusedError: nobody is at home): batchrun sink JOB"
    )
    assert run.summary["sinks"] == [{"name": "red", "delivered": 0, "outstanding": 5}]
    assert box.tries >= deliveries.LAST_TRIES


def test_the_next_run_delivers_what_is_outstanding_and_sends_nothing(tmp_path: Path, box: Box) -> None:
    spec = delivered(tmp_path)
    box.down = True
    first = rehearse(spec)
    box.down = False
    second = rehearse(spec, first.transport)

    assert (second.code, second.succeeded) == (0, True)
    assert numbers_of(box) == list(range(10))
    assert second.calls == 10  # those of the first run


def test_a_finished_output_keeps_its_success_while_a_sink_that_held_everything_is_down(tmp_path: Path, box: Box):
    spec = delivered(tmp_path)
    first = rehearse(spec)
    box.down = True
    second = rehearse(spec, first.transport)

    assert (second.code, second.succeeded) == (4, True)
    assert "sink red: cannot be asked about 5 parts" in second.reason
    box.down = False
    third = rehearse(spec, first.transport)
    assert (third.code, third.succeeded, third.calls) == (0, True, 10)


def test_a_finished_output_loses_its_success_to_a_sink_that_says_it_lacks_a_part(tmp_path: Path, box: Box):
    spec = delivered(tmp_path)
    first = rehearse(spec)
    del box.parts[next(iter(box.parts))]
    box.refuses = frozenset(range(5))
    second = rehearse(spec, first.transport)

    assert (second.code, second.succeeded) == (4, False)


def test_one_sink_that_is_down_does_not_keep_parts_from_another(tmp_path: Path, box: Box) -> None:
    box.down = True
    run = rehearse(delivered(tmp_path, boxes=("red", "blue")))

    assert numbers_of(BOXES["blue"]) == list(range(10))
    assert run.code == 4
    assert "sink red: " in run.reason
    assert "blue" not in run.reason


def test_a_sink_that_is_down_does_not_slow_the_run(tmp_path: Path, box: Box) -> None:
    """Its waits are 1 and 2 s once all rows are done; the rows themselves take what they take without it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = rehearse(job(tmp_path / "a", numbered(40), output={"rows_per_part": 2}))
    box.down = True
    beside = rehearse(delivered(tmp_path / "b", 40))

    assert beside.wall_s - alone.wall_s < 4


def test_a_sink_that_fails_is_noted_once_and_tried_with_growing_waits(tmp_path: Path, box: Box) -> None:
    """600 s hold tries at about 0, 1, 3, 7, 15, 31, 63 s and then every minute, and three at the end."""
    box.down = True
    spec = delivered(tmp_path, 100, limits={"max_in_flight": 1}, emulator={"latency_s": 6.0})
    run = rehearse(spec)

    assert run.wall_s > 600
    assert 12 <= box.tries <= 24
    assert notes(run) == [
        "sink red: ConnectionRefusedError: nobody is at home; it is tried again with growing waits, "
        "its parts wait in data/"
    ]


def test_a_sink_that_comes_back_gets_all_it_missed(tmp_path: Path, box: Box) -> None:
    box.fails = 3
    run = rehearse(delivered(tmp_path, 60, limits={"max_in_flight": 1}, emulator={"latency_s": 2.0}))

    assert run.code == 0
    assert numbers_of(box) == list(range(60))
    assert len(notes(run)) == 1
    assert "part 0: the lid is shut" in notes(run)[0]


def test_a_part_that_a_sink_will_not_have_does_not_keep_the_others_back(tmp_path: Path, box: Box) -> None:
    box.refuses = frozenset({1})
    run = rehearse(delivered(tmp_path))

    assert run.code == 4
    assert sorted(box.parts) == [0, 2, 3, 4]
    assert "sink red: lacks 1 part (1) (part 1: ValueError: not this one): batchrun sink JOB" in run.reason


def test_a_sink_may_be_added_when_all_is_done(tmp_path: Path) -> None:
    spec = delivered(tmp_path, boxes=())
    first = rehearse(spec)
    second = rehearse(with_sinks(spec, ("late",)), first.transport)

    assert (second.code, second.succeeded) == (0, True)
    assert numbers_of(BOXES["late"]) == list(range(10))


def test_success_goes_before_a_sink_that_was_added_is_in_step(tmp_path: Path) -> None:
    spec = delivered(tmp_path, boxes=())
    first = rehearse(spec)
    BOXES["late"] = Box(down=True)
    second = rehearse(with_sinks(spec, ("late",)), first.transport)

    assert (second.code, second.succeeded) == (4, False)


def test_a_part_of_another_version_is_delivered_again(tmp_path: Path, box: Box) -> None:
    spec = delivered(tmp_path)
    first = rehearse(spec)
    box.parts[3] = (box.parts[3][0] + 1, [])
    rehearse(spec, first.transport)

    assert numbers_of(box) == list(range(10))


def test_failed_rows_and_a_lagging_sink_end_with_4_until_it_is_in_step(tmp_path: Path, box: Box) -> None:
    box.down = True
    spec = delivered(tmp_path, 4, emulator={"faults": {"ValidationException": 1.0}})
    first = rehearse(spec)
    box.down = False
    second = rehearse(spec, first.transport)

    assert first.code == 4
    assert second.code == 1
    assert len(box.rows()) == 4


def test_the_summary_file_tells_of_the_sinks(tmp_path: Path, box: Box) -> None:
    spec = delivered(tmp_path)
    run = rehearse(spec)

    assert json.loads(Folder(spec.output.path).summary.read_text())["sinks"] == run.summary["sinks"]


def in_real_time(spec: JobSpec) -> dict[str, Any]:
    """Run on the machine's clock, as a sink that hangs needs; return the summary."""
    carrier = EmulatedTransport(Bedrock(spec.emulator or EmulatorSpec()), spec.model.api)
    return anyio.run(arun, spec, RunOptions(), StandIns(carrier))


def test_at_the_deadline_a_part_under_way_is_given_the_time_of_a_drain(tmp_path: Path, box: Box) -> None:
    box.hangs = Event()
    limits = {"deadline": "3s", "drain": "0.3s"}  # the rows take 0.6 s
    spec = delivered(tmp_path, limits=limits, emulator={"latency_s": 0.0})
    began_s = time.monotonic()
    summary = in_real_time(spec)
    took_s, box_held = time.monotonic() - began_s, dict(box.parts)
    box.hangs.set()

    assert summary["exit_code"] == 3
    assert summary["reason"].startswith("limits.deadline: 3 s are over; sink red: lacks 5 parts (0, 1, 2, 3, 4)")
    assert took_s > 3.25  # the deadline and the drain
    assert box_held == {}  # the run ended while the part still hung
    assert not Folder(spec.output.path).success.exists()


def test_a_sink_that_takes_for_ever_is_given_up_on(tmp_path: Path, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "PATIENCE_S", 0.3)
    box.hangs = Event()
    summary = in_real_time(delivered(tmp_path, emulator={"latency_s": 0.0}))
    box_held = dict(box.parts)
    box.hangs.set()

    assert summary["exit_code"] == 4
    assert "took no part in 0.3 s" in summary["reason"]
    assert box_held == {}


def test_a_step_that_was_given_up_on_never_runs_beside_the_next(tmp_path: Path, box: Box) -> None:
    """The thread of the first run ends its part late; the second run's session waits for nobody and doubles nothing."""
    box.hangs = Event()
    spec = delivered(tmp_path, limits={"deadline": "3s", "drain": "0s"}, emulator={"latency_s": 0.0})
    first = in_real_time(spec)
    assert first["rows"] == 10
    box.hangs.set()
    box.hangs = None
    summary = in_real_time(spec.model_copy(update={"limits": job(tmp_path, numbered(10)).limits}))

    assert summary["exit_code"] == 0
    assert numbers_of(box) == list(range(10))
