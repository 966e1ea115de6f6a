"""`batchrun retry`: which rows go out again, which parts are replaced, and what a row keeps of what it had."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchrun.api import verify
from batchrun.emulator.service import Bedrock
from batchrun.errors import InputError
from batchrun.jobspec import JobSpec
from batchrun.records import Status
from batchrun.storage.again import reopen
from batchrun.storage.folder import Folder
from batchrun.storage.output import Output
from batchrun.storage.part_facts import read_facts
from batchrun.storage.ranges import Range
from tests.emulated_transport import EmulatedTransport
from tests.pictures import png
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

AGAIN = (Status.TRUNCATED, Status.INVALID, Status.FAILED)
FAILS_TWICE = "[[fault=InternalServerException*2]] Name a fish."
CUT = "[[stop_reason=max_tokens]] Name a fish."
DOWN = {"tpm": 60_000, "outages": [{"region": "us-east-1", "kind": "InternalServerException", "from_s": 0}]}


def spec(folder: Path, texts: list[str], **changes: Any) -> JobSpec:
    """Parts of 4 rows, two attempts a row, and any share of failures."""
    tables = {"output": {"rows_per_part": 4}, "retry": {"max_attempts": 2}, "limits": {"max_failed": 1.0}}
    return job(folder, texts, **{**tables, **changes})


def retried(ended: Rehearsal, statuses: tuple[Status, ...] = AGAIN, of: JobSpec | None = None) -> Rehearsal:
    return rehearse(of or ended.spec, ended.transport, again=statuses)


def parts(of: JobSpec) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (of.output.path / "data").iterdir()}


def test_failed_rows_are_sent_again_and_only_their_parts_replaced(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(5), FAILS_TWICE, *numbered(6)]))
    before, calls = parts(first.spec), first.calls
    assert first.summary["by_status"] == {"ok": 11, "failed": 1}

    second = retried(first)

    after = parts(first.spec)
    assert (second.code, second.summary["by_status"]) == (0, {"ok": 12})
    assert second.calls == calls + 1
    assert [name for name in before if before[name] != after[name]] == ["part-000001.parquet"]
    assert [row["row"] for row in second.rows()] == list(range(12))
    assert verify(first.spec) == []


def test_a_row_sent_again_carries_the_cost_and_the_attempts_of_before(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(3), CUT]))
    once = first.row(3)
    second = retried(first)
    twice = second.row(3)

    assert (once["status"], once["attempts"], twice["attempts"]) == ("truncated", 1, 2)
    assert twice["cost_usd"] == pytest.approx(2 * once["cost_usd"])
    assert second.summary["usd"] == pytest.approx(first.summary["usd"] + once["cost_usd"])
    assert verify(first.spec) == []


def test_an_answer_that_was_cut_is_kept_if_there_is_no_other(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(3), CUT]))
    down = EmulatedTransport(Bedrock(spec(tmp_path, [*numbered(3), CUT], emulator=DOWN).emulator))
    second = rehearse(first.spec, down, again=AGAIN)
    row = second.row(3)

    assert (row["status"], row["text"]) == ("truncated", first.row(3)["text"])
    assert (row["error_code"], row["attempts"]) == ("InternalServerException", 3)
    assert row["cost_usd"] == pytest.approx(first.row(3)["cost_usd"])
    assert verify(first.spec) == []


def test_only_the_statuses_asked_for_are_sent(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(2), FAILS_TWICE, CUT]))
    second = retried(first, (Status.FAILED,))

    assert (second.row(2)["status"], second.row(3)["attempts"]) == ("ok", 1)


def test_columns_that_were_carried_over_stay(tmp_path: Path) -> None:
    rows = pa.table({"text": [*numbered(5), FAILS_TWICE], "story": [f"story {row}" for row in range(6)]})
    first = rehearse(spec(tmp_path, rows, input={"keep": ["story"]}))  # type: ignore[arg-type]
    second = retried(first)

    assert [row["story"] for row in second.rows()] == [f"story {row}" for row in range(6)]
    assert verify(first.spec) == []


def test_a_run_with_too_many_failures_succeeds_after_its_retry(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(3), FAILS_TWICE], limits={"max_failed": 0}))
    assert (first.code, first.succeeded) == (1, False)
    second = retried(first)

    assert (second.code, second.succeeded) == (0, True)


def test_with_nothing_to_send_nothing_happens(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, numbered(6)))
    before, calls = parts(first.spec), first.calls
    second = retried(first)

    assert (second.code, second.calls, parts(first.spec)) == (0, calls, before)
    assert second.succeeded


def test_an_unfinished_output_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    stopped = rehearse(spec(tmp_path, numbered(400), limits={"deadline": 3.0, "drain": 1.0}))
    assert stopped.code == 3

    with pytest.raises(InputError, match=r"of 400 rows are in no part yet; run it first"):
        retried(stopped)
    assert retried(stopped, (), spec(tmp_path, numbered(400))).code == 0


def test_an_interrupted_retry_leaves_the_old_parts_and_run_goes_on_with_it(tmp_path: Path) -> None:
    texts = [*numbered(3), FAILS_TWICE, *numbered(4)]
    first = rehearse(spec(tmp_path, texts))
    before = parts(first.spec)
    slow = spec(tmp_path, texts, emulator={"latency_s": 30}, limits={"max_failed": 1.0, "deadline": 1.0, "drain": 0})
    stopped = rehearse(slow, again=AGAIN)

    assert (stopped.code, stopped.summary["rows"], stopped.succeeded) == (3, 7, False)
    assert parts(first.spec) == before
    (wrong, *_) = verify(first.spec)
    assert wrong.startswith("part 0 is not written yet: 3 of 4 rows (0 to 3) done")
    assert wrong.endswith("until then the part of before stands")

    second = rehearse(first.spec, first.transport)
    assert (second.code, second.summary["by_status"]) == (0, {"ok": 8})
    assert verify(first.spec) == []


def test_a_retry_is_judged_at_its_end_and_not_stopped_by_the_rows_that_it_is_for(tmp_path: Path) -> None:
    texts = [*numbered(40), *(f"{row} [[stop_reason=max_tokens]]" for row in range(60))]
    few = {"max_failed": 0.05}
    first = rehearse(spec(tmp_path, texts, limits={"max_failed": 1.0}))
    again = rehearse(spec(tmp_path, texts, limits=few), first.transport, again=AGAIN)

    assert (first.code, again.code) == (0, 1)
    assert again.summary["by_status"] == first.summary["by_status"]
    assert again.calls == 100 + 60
    assert verify(spec(tmp_path, texts, limits=few)) == []


def test_an_interrupted_retry_tells_what_its_rows_cost_before_as_spent(tmp_path: Path) -> None:
    texts = [*numbered(3), "Look. [[stop_reason=max_tokens]]"]
    first = rehearse(spec(tmp_path, texts))
    stopped = rehearse(spec(tmp_path, texts, limits={"max_cost_usd": 1e-9}), again=AGAIN)

    assert (stopped.code, stopped.summary["rows"]) == (3, 3)
    assert stopped.summary["usd"] == pytest.approx(first.summary["usd"])
    assert stopped.summary["usd_unsettled"] == 0


def test_what_calls_of_unknown_end_may_have_cost_is_not_forgotten(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(3), "[[fault=reset*2]] Name a fish."]))
    folder = Folder(first.spec.output.path)
    before = read_facts(folder, "data/part-000000.parquet").totals
    second = retried(first)
    after = read_facts(folder, "data/part-000000.parquet").totals

    assert (second.code, second.row(3)["status"]) == (0, "ok")
    assert before.unsettled_usd > 0
    assert after.unsettled_usd == pytest.approx(before.unsettled_usd)


def test_a_log_that_a_kill_left_beside_its_new_part_is_removed(tmp_path: Path) -> None:
    first = rehearse(spec(tmp_path, [*numbered(3), FAILS_TWICE]))
    folder = Folder(first.spec.output.path)
    log = folder.wal / "000000.log"
    reopen(folder, Range(0, 0, 4), read_facts(folder, "data/part-000000.parquet"), AGAIN)
    left = log.read_bytes()
    rehearse(first.spec, first.transport)
    log.write_bytes(left)
    calls = first.calls
    ended = rehearse(first.spec, first.transport)

    assert (ended.code, ended.calls, log.exists()) == (0, calls, False)
    assert verify(first.spec) == []


def test_any_number_of_parts_is_sent_again_with_few_logs_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.storage.output.MOST_OPEN_RANGES", 2)
    monkeypatch.setattr("batchrun.backlog.MOST_OPEN_RANGES", 2)
    first = rehearse(spec(tmp_path, [FAILS_TWICE.replace("*2", f"*{2}") + str(row) for row in range(24)]))
    opened: list[int] = []
    monkeypatch.setattr(Output, "open_ranges", property(lambda output: opened.append(len(output._open)) or opened[-1]))
    second = retried(first)

    assert (first.summary["by_status"], second.summary["by_status"]) == ({"failed": 24}, {"ok": 24})
    assert second.summary["usd"] == pytest.approx(sum(row["cost_usd"] for row in second.rows()))
    assert max(opened) <= 2
    assert verify(first.spec) == []


def test_a_row_that_cannot_be_rendered_any_more_keeps_what_it_cost(tmp_path: Path) -> None:
    rows = pa.table({"text": ["Look. [[stop_reason=max_tokens]]"], "photo": ["photo.png"]})
    photo = tmp_path / "photo.png"
    photo.write_bytes(png())
    asked = spec(tmp_path, rows, prompt={"user": "{{ text }}", "images": ["photo"]})  # type: ignore[arg-type]
    first = rehearse(asked)
    photo.unlink()
    again = rehearse(asked, first.transport, again=AGAIN)

    assert first.row(0)["status"] == "truncated"
    assert (again.row(0)["text"], again.row(0)["attempts"]) == (first.row(0)["text"], 1)
    assert again.row(0)["error_code"] == "RowError"
    assert again.summary["usd"] == pytest.approx(first.summary["usd"])
