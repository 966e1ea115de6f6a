"""Structured output over whole runs: the column, answers that do not fit, identity, verify and retry."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import verify
from batchrun.errors import InputError, JobError
from batchrun.planning import plan
from batchrun.readyjob import make_ready
from batchrun.records import Status
from batchrun.screen.summary import summary_text
from tests.run.rehearsal import job, numbered, rehearse

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["label", "stars"],
}
TYPE = pa.struct([("label", pa.string()), ("stars", pa.int64()), ("tags", pa.list_(pa.string()))])


def structured(folder, prompts, schema=SCHEMA, api="invoke", **generation):
    told = {"max_tokens": 200, "schema": schema, **generation}
    return job(folder, prompts, generation=told, model={"api": api}, output={"path": "out"})


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_answers_become_a_struct_column_behind_text(tmp_path, api):
    ended = rehearse(structured(tmp_path, numbered(20), api=api))

    assert ended.summary["by_status"] == {"ok": 20}
    table = pq.read_table(tmp_path / "out" / "data")
    assert table.schema.field("answer").type == TYPE
    assert table.schema.names.index("answer") == table.schema.names.index("text") + 1
    for row in ended.rows():
        told = json.loads(row["text"])
        assert row["answer"] == {"tags": None, **told}
        assert 1 <= row["answer"]["stars"] <= 5
    assert {row["stop_reason"] for row in ended.rows()} == {"end_turn" if api == "invoke" else "tool_use"}


def test_the_schema_goes_out_as_the_service_takes_it(tmp_path):
    [body] = plan(structured(tmp_path, ["Hi"]), show=1)["requests"]
    [arguments] = plan(structured(tmp_path, ["Hi"], api="converse"), show=1)["requests"]

    told = body["output_config"]["format"]
    assert told["type"] == "json_schema"
    assert told["schema"]["additionalProperties"] is False
    assert "minimum" not in told["schema"]["properties"]["stars"]
    [tool] = arguments["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == SCHEMA
    assert arguments["toolConfig"]["toolChoice"] == {"tool": {"name": tool["toolSpec"]["name"]}}


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_an_answer_that_does_not_fit_is_asked_for_again_and_both_are_paid(tmp_path, api):
    ended = rehearse(structured(tmp_path, ["Judge. [[misfit=2]]", "Judge this."], api=api))

    assert ended.summary["by_status"] == {"ok": 2}
    assert [row["attempts"] for row in ended.rows()] == [3, 1]
    assert ended.summary["misfits"]["rows"] == 1
    books = ended.bedrock.books
    assert ended.summary["usd"] == pytest.approx((1.1 * books.input_tokens + 5.5 * books.output_tokens) / 1e6)
    assert ended.row(0)["cost_usd"] > ended.summary["misfits"]["usd"] > 0
    assert "1 rows sent again as their answers did not fit" in summary_text(ended.summary)


def test_after_two_more_tries_the_row_is_invalid_and_keeps_its_raw_text(tmp_path):
    ended = rehearse(structured(tmp_path, ['Judge. [[text={"label": "ugly", "stars": 7}]]']))

    row = ended.row(0)
    assert (row["status"], row["attempts"], ended.calls) == ("invalid", 3, 3)
    assert row["text"] == '{"label": "ugly", "stars": 7}'
    assert row["answer"] is None
    assert row["error_code"] == "InvalidAnswer"
    assert row["error_message"].startswith("answer.")
    assert "ugly" not in row["error_message"]


def test_a_number_that_no_column_holds_is_invalid_and_no_crash(tmp_path):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "x": {"type": "number"}}}
    prompts = [f"{text} [[text={text}]]" for text in ('{"n": 9223372036854775808}', '{"x": 1e999}', '{"x": NaN}', "[")]

    ended = rehearse(structured(tmp_path, prompts, schema))

    assert ended.summary["by_status"] == {"invalid": 4}
    assert ended.code == 1


def test_an_answer_cut_by_max_tokens_is_truncated_and_not_asked_for_again(tmp_path):
    ended = rehearse(structured(tmp_path, ["Judge. [[output_tokens=500]]"]))

    assert (ended.row(0)["status"], ended.row(0)["answer"], ended.calls) == ("truncated", None, 1)


def test_with_auto_a_cut_answer_goes_on_as_usual(tmp_path):
    spec = structured(tmp_path, ["Judge. [[output_tokens=700]]"], max_tokens="auto", max_tokens_ceiling=4_000)

    ended = rehearse(spec)

    assert (ended.row(0)["status"], ended.row(0)["attempts"]) == ("ok", 2)
    assert ended.row(0)["answer"] is not None


def test_a_refusal_is_no_misfit(tmp_path):
    ended = rehearse(structured(tmp_path, ["Judge. [[stop_reason=refusal]]"]))

    assert (ended.row(0)["status"], ended.calls) == ("refused", 1)


@pytest.mark.parametrize(
    ("reason", "status", "calls"),
    [
        ("end_turn", "ok", 1),
        ("stop_sequence", "ok", 1),
        ("tool_use", "ok", 1),
        ("max_tokens", "truncated", 1),
        ("model_context_window_exceeded", "truncated", 1),
        ("refusal", "refused", 1),
        ("content_filtered", "refused", 1),
        ("guardrail_intervened", "refused", 1),
        ("malformed_model_output", "invalid", 3),
        ("malformed_tool_use", "invalid", 3),
        ("what_comes_next_year", "refused", 1),
    ],
)
def test_every_stop_reason_has_its_status(tmp_path, reason, status, calls):
    ended = rehearse(job(tmp_path, [f"Judge. [[stop_reason={reason}]]"]))

    assert (ended.row(0)["status"], ended.calls) == (status, calls)
    assert ended.row(0)["stop_reason"] == reason
    assert ended.row(0)["text"].startswith("[emulated]")


def test_the_schema_is_part_of_what_an_output_belongs_to(tmp_path):
    rehearse(structured(tmp_path, ["Judge."]))
    other = {**SCHEMA, "required": ["label"]}

    with pytest.raises(InputError, match=r"generation\.schema: was \"sha256"):
        rehearse(structured(tmp_path, ["Judge."], other))
    with pytest.raises(InputError, match=r"generation\.schema: was .*, is unset"):
        rehearse(job(tmp_path, ["Judge."]))


def test_the_columns_of_all_parts_are_in_the_manifest_and_verify_holds_them_against_it(tmp_path):
    spec = structured(tmp_path, numbered(4))
    rehearse(spec)

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["extras"] is not None
    assert verify(spec) == []
    [part] = (tmp_path / "out" / "data").glob("*.parquet")
    pq.write_table(pq.read_table(part).drop(["answer"]), part)
    assert verify(spec) != []


def test_a_schema_without_any_answer_still_has_its_column(tmp_path):
    rehearse(structured(tmp_path, [None]))

    assert pq.read_table(tmp_path / "out" / "data").schema.field("answer").type == TYPE


def test_invalid_rows_are_sent_again_by_retry_and_the_others_keep_their_answers(tmp_path):
    spec = structured(tmp_path, ["Judge. [[misfit=3]]", "Judge this."])
    first = rehearse(spec)
    assert first.summary["by_status"] == {"invalid": 1, "ok": 1}

    again = rehearse(spec, first.transport, again=(Status.INVALID,))

    assert again.summary["by_status"] == {"ok": 2}
    assert again.row(0)["attempts"] == 4
    assert again.row(1)["answer"] == first.row(1)["answer"]


def test_what_structured_output_does_not_take_is_refused_before_anything_is_sent(tmp_path):
    schema = {"type": "object", "properties": {"map": {"type": "object", "additionalProperties": {"type": "string"}}}}

    with pytest.raises(JobError, match=r"generation\.schema: properties\.map\.additionalProperties can only be false"):
        make_ready(structured(tmp_path, ["Hi"], schema))
    assert make_ready(structured(tmp_path, ["Hi"], schema, api="converse")).sampling.schema == schema


def test_plan_names_json_text_and_bounds_that_are_checked_later(tmp_path):
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}}
    later, text = ("\n".join(plan(structured(tmp_path, ["Hi"], one))["warnings"]) for one in (SCHEMA, schema))

    assert "JSON text in the column answer, for want of one type: answer.a" in text
    assert "properties.stars.minimum, properties.stars.maximum" in later


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_the_first_estimates_are_near_what_a_schema_costs_by_either_api(tmp_path, api):
    ended = rehearse(structured(tmp_path, numbered(20), api=api))

    assert abs(ended.summary["estimates"]["input_error_mean"]) < 0.25


def test_the_estimate_counts_the_schema(tmp_path):
    plain, with_schema = job(tmp_path, ["Hi"]), structured(tmp_path, ["Hi"])

    tokens = [plan(spec)["tokens"]["input_per_row"] for spec in (plain, with_schema)]

    assert tokens[1] - tokens[0] > 50
