"""Whole jobs through each of Bedrock's doors: the SDK's, plain HTTP, the Messages API on the runtime and on mantle."""

from functools import partial
from importlib import resources
from typing import Any

import anyio
import pytest

from batchrun.api import arun
from batchrun.planning import plan
from batchrun.screen.plan import plan_text
from tests.run.rehearsal import job, numbered, rehearse, results

MESSAGES = {"api": "messages"}
MANTLE = {"api": "messages", "endpoint": "mantle"}
NO_SCOPES = {"scopes": None}
DOORS = {
    "sdk": ({"transport": "sdk"}, {}),
    "http": ({"transport": "http"}, {}),
    "messages": (MESSAGES, {}),
    "mantle": (MANTLE, NO_SCOPES),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_job_runs_through_every_door_over_http(tmp_path, door):
    model, routing = DOORS[door]
    fast = {"latency_s": 0, "latency_per_token_s": 0}
    spec = job(tmp_path, numbered(20), model=model, routing=routing, emulator=fast)
    summary = anyio.run(partial(arun, spec), backend="asyncio")
    rows = results(spec)

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 20})
    assert {row["endpoint"] for row in rows} == {"mantle" if door == "mantle" else "runtime"}
    assert all(row["text"].startswith("[emulated] ") and row["request_id"] for row in rows)


def test_the_doors_bring_the_same_answers_and_mantle_at_the_global_price(tmp_path):
    answers: dict[str, list[dict[str, Any]]] = {}
    for door, (model, routing) in DOORS.items():
        (tmp_path / door).mkdir()
        answers[door] = rehearse(job(tmp_path / door, numbered(5), model=model, routing=routing)).rows()

    texts = {door: [(row["text"], row["input_tokens"], row["output_tokens"]) for row in rows]
             for door, rows in answers.items()}  # fmt: skip
    assert texts["http"] == texts["messages"] == texts["mantle"] == texts["sdk"]
    for geo, in_region in zip(answers["sdk"], answers["mantle"], strict=True):
        assert geo["cost_usd"] == pytest.approx(1.1 * in_region["cost_usd"])
        assert in_region["cost_usd"] == pytest.approx(
            (in_region["input_tokens"] + 5 * in_region["output_tokens"]) / 1e6
        )


def test_on_mantle_a_call_settles_at_its_input_and_output(tmp_path):
    done = rehearse(job(tmp_path, numbered(10), model=MANTLE, routing=NO_SCOPES))
    used = sum(row["input_tokens"] + row["output_tokens"] for row in done.rows())

    assert done.code == 0
    assert done.stats["pools"]["us-east-1/mantle"]["settled_tokens"] == used
    assert [lane["pool"] for lane in done.summary["lanes"]] == ["us-east-1/mantle"]


@pytest.mark.parametrize("window", ["bucket", "sliding", "fixed"])
def test_where_mantles_quota_is_unknown_the_pace_alone_finds_it_and_no_row_is_lost(tmp_path, window):
    # 600 rows that hold about 220 tokens each: 20,000 a minute take at least 5 minutes, and nobody says so.
    spec = job(
        tmp_path,
        numbered(600, "Name a colour. [[output_tokens=150]]"),
        model=MANTLE,
        routing=NO_SCOPES,
        quota={"tokens_per_minute": None},
        emulator={"tpm": 20_000, "window": window},
    )
    done = rehearse(spec)
    minutes = done.wall_s / 60
    settled = done.stats["pools"]["us-east-1/mantle"]["settled_tokens"]

    assert (done.code, done.summary["by_status"]) == (0, {"ok": 600})
    assert done.stats["throttled"] < 300  # one refusal for two rows would be a retry loop
    assert settled / (20_000 * (minutes + 1)) > 0.7  # of what the pool could give, a full meter included


def test_a_row_of_a_lane_that_does_not_exist_on_mantle_ends_the_run_with_the_reason(tmp_path):
    card = tmp_path / "card.toml"
    text = (resources.files("batchrun.bedrock") / "cards" / "claude-haiku-4-5.toml").read_text(encoding="utf-8")
    card.write_text(text.replace('model_id = "anthropic.claude-haiku-4-5"', 'model_id = "anthropic.claude-haiku-9"'))
    done = rehearse(job(tmp_path, numbered(3), model={**MANTLE, "card": str(card)}, routing=NO_SCOPES))

    assert done.code == 4
    assert "not_found_error: The model 'anthropic.claude-haiku-9' does not exist" in done.reason


def test_a_plan_for_mantle_says_that_the_quota_is_unknown(tmp_path):
    found = plan(
        job(tmp_path, numbered(50), model=MANTLE, routing=NO_SCOPES, quota={"tokens_per_minute": None}), show=1
    )
    (quota,) = found["quotas"]

    assert (quota["pool"], quota["tokens_per_minute"]) == ("us-east-1/mantle", None)
    assert quota["sources"]["tokens_per_minute"].startswith("unknown")
    assert found["minutes"] == {"at_least": None, "at_most": None}
    assert "time     unknown, as the quota is" in plan_text(found)
    assert not any("largest quota" in line for line in found["warnings"])
    assert found["requests"][0]["model"] == "anthropic.claude-haiku-4-5"
    assert "anthropic_version" not in found["requests"][0]


def test_a_plan_for_mantle_takes_one_token_for_one(tmp_path):
    both = {}
    for door in ("sdk", "mantle"):
        (tmp_path / door).mkdir()
        model, routing = DOORS[door]
        both[door] = plan(job(tmp_path / door, ["x" * 3_500] * 100, model=model, routing=routing))["minutes"]

    # 1,008 in and 200 out at most, 60,000 a minute: 100 × (1,008 + 5 × 200) are 200,800, on mantle 120,800.
    assert (both["sdk"]["at_most"], both["mantle"]["at_most"]) == (3.35, 2.01)


def test_a_pool_of_mantle_is_named_in_quota_pools(tmp_path):
    quota = {"pools": {"us-east-1/mantle": {"tokens_per_minute": 7_000}}}
    found = plan(job(tmp_path, numbered(5), model=MANTLE, routing=NO_SCOPES, quota=quota))

    assert [one["tokens_per_minute"] for one in found["quotas"]] == [7_000]


def test_a_job_without_a_schema_declares_no_tool_whatever_the_api(tmp_path):
    per_row = {}
    for door, model in {"invoke": {}, "converse": {"api": "converse"}, "mantle": MANTLE}.items():
        (tmp_path / door).mkdir()
        routing = NO_SCOPES if door == "mantle" else {}
        per_row[door] = plan(job(tmp_path / door, numbered(10), model=model, routing=routing))["tokens"][
            "input_per_row"
        ]

    assert per_row["converse"] == per_row["mantle"] == per_row["invoke"]


def test_on_mantle_a_schema_goes_as_a_tool_and_its_input_is_the_answer(tmp_path):
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
    done = rehearse(job(tmp_path, numbered(3), model=MANTLE, routing=NO_SCOPES, generation={"schema": schema}))

    assert done.summary["by_status"] == {"ok": 3}
    assert all(isinstance(row["answer"]["label"], str) for row in done.rows())
