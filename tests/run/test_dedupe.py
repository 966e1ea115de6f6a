"""Equal requests are sent once, and every row has the answer; over failures, kills, retries and lost files."""

import sqlite3
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchrun import recall
from batchrun.api import verify
from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.planning import plan
from batchrun.records import Status
from batchrun.screen.plan import plan_text
from batchrun.screen.summary import summary_text
from batchrun.storage.known_answers import NAME
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

COLOURS = ["Name a colour.", "Name a fish.", "Name a bird."]
COLD = {"temperature": 0.0}
PLENTY = {"tokens_per_minute": 10_000_000}


def deduped(folder: Path, prompts: Any, **changes: Any) -> JobSpec:
    """Return a job that sends equal requests once, in parts of ten rows."""
    changes = {"generation": COLD, "output": {"rows_per_part": 10}, "quota": PLENTY, **changes}
    emulator = {"tpm": 10_000_000, **changes.pop("emulator", {})}
    return job(folder, prompts, emulator=emulator, **{"dedupe": True, **changes})


def texts(run: Rehearsal) -> dict[str, set[str]]:
    """Return the answers that the rows of each prompt have."""
    prompts = pa.parquet.read_table(run.spec.input.path[0]).column("text").to_pylist()
    found: dict[str, set[str]] = {}
    for row in run.rows():
        found.setdefault(prompts[row["row"]], set()).add(row["text"])
    return found


def database(spec: JobSpec) -> Path:
    return spec.output.path / "wal" / NAME


def test_equal_requests_are_sent_once_and_every_row_has_the_answer(tmp_path):
    run = rehearse(deduped(tmp_path, COLOURS * 30))

    assert run.code == 0
    assert run.stats["paid_calls"] == 3
    assert all(len(answers) == 1 for answers in texts(run).values())
    assert [row["row"] for row in run.rows()] == list(range(90))
    assert verify(run.spec) == []


def test_a_follower_costs_nothing_and_has_all_else_of_its_leader(tmp_path):
    run = rehearse(deduped(tmp_path, ["Name a colour."] * 5))
    leader, *followers = run.rows()
    own = {"row", "attempts", "cost_usd", "latency_s", "finished_at"}

    assert (leader["attempts"], leader["cost_usd"] > 0) == (1, True)
    for row in followers:
        assert (row["attempts"], row["cost_usd"], row["latency_s"]) == (0, 0.0, None)
        assert {name: row[name] for name in row if name not in own} == {
            name: leader[name] for name in leader if name not in own
        }


def test_the_summary_says_what_was_saved(tmp_path):
    run = rehearse(deduped(tmp_path, ["Name a colour."] * 5))
    leader = run.row(0)

    assert run.summary["dedupe"] == {
        "rows": 4,
        "usd": pytest.approx(4 * leader["cost_usd"]),
        "input_tokens": 4 * leader["input_tokens"],
        "output_tokens": 4 * leader["output_tokens"],
    }
    assert "  dedupe    4 rows had the answer of an equal request, $" in summary_text(run.summary)
    assert run.summary["usd"] == pytest.approx(leader["cost_usd"])


def test_without_the_key_equal_requests_are_all_sent(tmp_path):
    run = rehearse(job(tmp_path, ["Name a colour."] * 5))

    assert (run.stats["paid_calls"], run.summary["dedupe"]) == (5, None)
    assert not database(run.spec).exists()


def test_rows_that_ask_something_else_are_sent(tmp_path):
    run = rehearse(deduped(tmp_path, numbered(50)))

    assert (run.stats["paid_calls"], run.summary["dedupe"]) == (50, None)


def test_followers_hold_no_slot(tmp_path):
    # The leader takes 100 s; nothing else is held up by the 20 rows that wait for it.
    prompts = ["Name a colour. [[latency_s=100]]"] * 20 + numbered(20)
    spec = deduped(tmp_path, prompts, limits={"max_in_flight": 10})
    run = rehearse(spec)

    assert run.stats["paid_calls"] == 21
    ended = [row["finished_at"] for row in run.rows()]
    assert max(ended[20:]) < min(ended[:20])


def test_a_leader_that_fails_hands_on_to_the_next_row(tmp_path):
    # A poisoned prompt fails the same each time: every row leads once, and none has an answer.
    spec = deduped(tmp_path, ["Hm. [[fault=ModelErrorException]]"] * 3, limits={"max_failed": 1.0})
    run = rehearse(spec)

    assert [row["status"] for row in run.rows()] == ["failed"] * 3
    assert [row["attempts"] > 0 for row in run.rows()] == [True] * 3


def test_a_cut_answer_is_shared_too(tmp_path):
    spec = deduped(tmp_path, ["Go on. [[output_tokens=500]]"] * 4, limits={"max_failed": 1.0})
    run = rehearse(spec)

    assert [row["status"] for row in run.rows()] == ["truncated"] * 4
    assert run.stats["paid_calls"] == 1


def test_what_auto_has_learnt_makes_no_request_another(tmp_path):
    auto = {"max_tokens": "auto", "max_tokens_ceiling": 4_096, "temperature": 0.0}
    prompts = [f"{number} [[output_tokens=30]]" for number in range(300)] * 2
    run = rehearse(deduped(tmp_path, prompts, generation=auto))

    assert run.stats["paid_calls"] == 300


def test_a_later_start_knows_the_answers_of_an_earlier_one(tmp_path):
    first = rehearse(deduped(tmp_path, COLOURS * 30, limits={"rows": 15}))
    second = rehearse(deduped(tmp_path, COLOURS * 30), first.transport)

    assert second.stats["paid_calls"] == 3
    assert second.summary["dedupe"]["rows"] == 75
    assert second.code == 0


def test_answers_of_a_start_without_dedupe_are_shared_by_one_with_it(tmp_path):
    plain = deduped(tmp_path, COLOURS * 30, limits={"rows": 10}, dedupe=False)
    first = rehearse(plain)
    second = rehearse(deduped(tmp_path, COLOURS * 30), first.transport)

    assert first.stats["paid_calls"] == 10
    assert second.calls == 10  # those of the first start, and no more


@pytest.mark.parametrize("harm", ["missing", "no database", "another run's", "torn", "empty"])
def test_a_lost_or_damaged_file_is_made_anew(tmp_path, harm):
    first = rehearse(deduped(tmp_path, COLOURS * 30, limits={"rows": 15}))
    path = database(first.spec)
    if harm == "missing":
        path.unlink()
    elif harm == "no database":
        path.write_bytes(b"not a database at all" * 300)
    elif harm == "another run's":
        with sqlite3.connect(path) as changing:
            changing.execute("UPDATE output SET run_id = 'other'")
        changing.close()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:6_000])
    else:
        path.write_bytes(b"")
    second = rehearse(deduped(tmp_path, COLOURS * 30), first.transport)

    assert (second.code, second.stats["paid_calls"]) == (0, 3)
    assert verify(second.spec) == []


def test_answers_that_are_looked_up_anew_are_told_of_before_the_first_call(tmp_path, monkeypatch):
    monkeypatch.setattr(recall, "TELL_EVERY_S", 0.0)
    first = rehearse(deduped(tmp_path, COLOURS * 30, limits={"rows": 15}))
    database(first.spec).unlink()
    rehearse(deduped(tmp_path, COLOURS * 30, limits={"rows": 20}), first.transport, screen=(screen := StringIO()))
    rehearse(deduped(tmp_path, COLOURS * 30), first.transport, screen=(silent := StringIO()))

    lines = [line for line in screen.getvalue().splitlines() if "dedupe" in line]
    assert lines == [
        "batchrun: dedupe: the answers of 15 finished rows are not in dedupe.sqlite; they are looked up before a call",
        "batchrun: dedupe: 10 of 15 rows looked up",
        "batchrun: dedupe: 15 of 15 rows looked up",
    ]
    assert "dedupe:" not in silent.getvalue()


def test_what_a_kill_took_of_the_answers_is_put_in_again(tmp_path):
    # A kill takes the puts that were not committed; the log has their rows.
    prompts = numbered(20) * 2
    spec = deduped(tmp_path, prompts, output={"rows_per_part": 40}, limits={"max_cost_usd": 0.005})
    first = rehearse(spec)
    answered = first.summary["rows"]
    with sqlite3.connect(database(spec)) as changing:
        changing.execute("DELETE FROM answers WHERE row >= 3")
    changing.close()
    second = rehearse(deduped(tmp_path, prompts, output={"rows_per_part": 40}), first.transport)

    assert (first.code, second.code) == (3, 0)
    assert 3 < answered < 40
    assert second.stats["paid_calls"] == 20


def test_an_answer_that_does_not_fit_its_checksum_is_unknown(tmp_path):
    first = rehearse(deduped(tmp_path, ["Name a colour."] * 20, limits={"rows": 10}))
    told = "replace(CAST(line AS TEXT), 'emulated', 'tampered')"
    with sqlite3.connect(database(first.spec)) as changing:
        changing.execute(f"UPDATE answers SET line = CAST({told} AS BLOB)")
    changing.close()
    second = rehearse(deduped(tmp_path, ["Name a colour."] * 20), first.transport)

    assert second.stats["paid_calls"] == 2
    assert not any("tampered" in row["text"] for row in second.rows())


def test_an_answer_that_the_log_never_had_is_dropped(tmp_path):
    # As after a power cut that took the log's last lines and not the file's: the row must be in the books.
    spec = deduped(tmp_path, ["Name a colour."] * 20, limits={"rows": 5}, output={"rows_per_part": 20})
    first = rehearse(spec)
    (spec.output.path / "data" / "part-000000.parquet").unlink()
    second = rehearse(spec, first.transport)

    assert second.stats["paid_calls"] == 2
    assert second.row(0)["attempts"] == 1


def test_a_row_that_is_sent_again_is_sent(tmp_path):
    spec = deduped(tmp_path, ["Go on. [[output_tokens=500]]"] * 4, limits={"max_failed": 1.0})
    first = rehearse(spec)
    second = rehearse(spec, first.transport, again=[Status.TRUNCATED])

    assert second.stats["paid_calls"] == 2
    assert [row["attempts"] for row in second.rows()] == [2, 0, 0, 0]


def test_changed_input_that_was_accepted_shares_no_answers(tmp_path):
    spec = deduped(tmp_path, ["Name a colour."] * 20, limits={"rows": 10})
    first = rehearse(spec)
    database(spec).unlink()
    changed = deduped(tmp_path, ["Name a fish."] * 20)
    second = rehearse(changed, first.transport, accept_input_changes=True)

    assert second.stats["paid_calls"] == 2
    assert "colour" in second.row(9)["text"]
    assert "fish" in second.row(10)["text"]


def test_a_row_that_cannot_be_rendered_is_nobodys_leader(tmp_path):
    run = rehearse(deduped(tmp_path, ["Name a fish.", None, "Name a fish.", None], limits={"max_failed": 1.0}))

    assert [row["status"] for row in run.rows()] == ["ok", "unsendable", "ok", "unsendable"]
    assert run.stats["paid_calls"] == 1


def test_chaos_changes_nothing_about_what_rows_have(tmp_path):
    faults = {"InternalServerException": 0.2, "ServiceUnavailableException": 0.1}
    prompts = numbered(40) * 5
    run = rehearse(deduped(tmp_path, prompts, emulator={"faults": faults, "seed": 3}))

    assert run.code == 0
    assert all(len(answers) == 1 for answers in texts(run).values())
    assert run.stats["paid_calls"] == 40


# The key


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_dedupe_is_true_false_or_force(tmp_path, value):
    with pytest.raises(JobError, match=r'dedupe = .*: must be true, false or "force"'):
        job(tmp_path, numbered(1), dedupe=value)


def test_true_is_refused_with_a_temperature_and_force_is_not(tmp_path):
    with pytest.raises(JobError, match=r"dedupe = true: generation\.temperature = 0\.7 asks for answers that differ"):
        job(tmp_path, numbered(1), dedupe=True, generation={"temperature": 0.7})
    assert job(tmp_path, numbered(1), dedupe="force", generation={"temperature": 0.7}).dedupe == "force"


def test_true_without_a_temperature_is_warned_of(tmp_path):
    def warned(**changes: Any) -> bool:
        found = plan(job(tmp_path, numbered(1), **changes), count=False)["warnings"]
        return any("temperature is unset, which is 1.0" in line for line in found)

    assert warned(dedupe=True)
    assert not warned(dedupe="force")
    assert not warned(dedupe=True, generation=COLD)


def test_a_plan_says_that_it_counts_every_row(tmp_path):
    said = "dedupe   equal requests are sent once; the sums above count every row"

    assert said in plan_text(plan(job(tmp_path, numbered(1), dedupe=True), count=False))
    assert said not in plan_text(plan(job(tmp_path, numbered(1)), count=False))
