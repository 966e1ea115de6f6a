"""What a row of the input may bring, and what the result says of it."""

import pyarrow as pa
import pytest

from batchrun.errors import InputError, JobError
from tests.run.rehearsal import job, numbered, rehearse

ALL_MAY_FAIL = {"max_failed": 1.0}


def test_a_null_in_a_column_of_the_prompt_is_unsendable_without_a_call(tmp_path):
    ended = rehearse(job(tmp_path, ["Name a fish.", None, "Name a bird."], limits=ALL_MAY_FAIL))
    row = ended.row(1)

    assert ended.summary["by_status"] == {"ok": 2, "unsendable": 1}
    assert ended.calls == 2
    assert (row["status"], row["attempts"], row["cost_usd"]) == ("unsendable", 0, 0)
    assert "'text' is null" in row["error_message"]


def test_a_template_that_fails_on_a_row_makes_that_row_unsendable(tmp_path):
    table = pa.table({"text": ["a", "b", "c"], "n": [1, 0, 2]})
    ended = rehearse(job(tmp_path, table, prompt={"user": "{{ text }} {{ 6 // n }}"}, limits=ALL_MAY_FAIL))

    assert ended.summary["by_status"] == {"ok": 2, "unsendable": 1}
    assert "ZeroDivisionError" in ended.row(1)["error_message"]
    assert ended.calls == 2


def test_a_prompt_of_white_space_alone_is_unsendable(tmp_path):
    ended = rehearse(job(tmp_path, ["Name a fish.", " \n"], limits=ALL_MAY_FAIL))

    assert ended.row(1)["status"] == "unsendable"
    assert ended.calls == 1


def test_rows_that_all_cannot_be_rendered_stop_the_run_with_an_example(tmp_path):
    ended = rehearse(job(tmp_path, [None] * 500, limits=ALL_MAY_FAIL))

    assert ended.code == 3
    assert "the first 100 rows all ended unsendable" in ended.reason
    assert ended.calls == 0


def test_fifty_rows_that_cannot_be_rendered_are_a_result(tmp_path):
    ended = rehearse(job(tmp_path, [None] * 50, limits=ALL_MAY_FAIL))

    assert ended.code == 0
    assert len(ended.rows()) == 50


def test_a_column_that_is_not_there_is_named_with_the_nearest_before_any_call(tmp_path):
    spec = job(tmp_path, numbered(5), prompt={"user": "{{ txt }}"})

    with pytest.raises(InputError, match=r"'txt'.*'?text'?") as refusal:
        rehearse(spec)
    assert refusal.value.exit_code == 2
    assert not spec.output.path.exists()


def test_a_template_with_a_mistake_is_refused_before_any_call(tmp_path):
    spec = job(tmp_path, numbered(5), prompt={"user": "{{ text"})

    with pytest.raises(JobError, match=r"prompt\.user: line 1"):
        rehearse(spec)


def test_the_id_and_the_kept_columns_are_carried_over(tmp_path):
    table = pa.table({"text": numbered(25), "key": [f"k{n}" for n in range(25)], "n": list(range(25))})
    spec = job(tmp_path, table, input={"id": "key", "keep": ["n"]}, output={"rows_per_part": 10})
    rows = rehearse(spec).rows()

    assert [row["key"] for row in rows] == [f"k{n}" for n in range(25)]
    assert [row["n"] for row in rows] == list(range(25))
    assert list(rows[0])[:4] == ["row", "key", "n", "status"]


def test_messages_take_the_place_of_a_template(tmp_path):
    turns = [{"role": "user", "content": "Name a fish."}, {"role": "assistant", "content": "Cod."}]
    table = pa.table({"turns": [[*turns, {"role": "user", "content": f"Another, {n}."}] for n in range(3)]})
    ended = rehearse(job(tmp_path, table, prompt={"user": None, "messages": "turns"}))

    assert ended.summary["by_status"] == {"ok": 3}
    assert ended.row(2)["text"].startswith("[emulated] Another, 2.")


def test_a_result_says_where_it_came_from(tmp_path):
    row = rehearse(job(tmp_path, ["Name a fish."])).row(0)

    assert row["endpoint"] == "runtime"
    assert row["inference_id"] == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert row["source_region"] == "us-east-1"
    assert row["request_id"] == "emulated-1"
    assert row["stop_reason"] == "end_turn"
    assert (row["attempts"], row["error_code"], row["error_message"]) == (1, None, None)


def test_both_apis_give_the_same_answers(tmp_path):
    texts = []
    for api in ("invoke", "converse"):
        folder = tmp_path / api
        folder.mkdir()
        ended = rehearse(job(folder, numbered(10), model={"api": api}))
        texts.append([(row["text"], row["input_tokens"], row["output_tokens"]) for row in ended.rows()])

    assert texts[0] == texts[1]
