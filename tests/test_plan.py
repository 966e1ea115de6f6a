"""A plan: rows, lanes, quotas, and sums of tokens, dollars and minutes that can be worked by hand."""

import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import batchrun
from batchrun.errors import JobError
from batchrun.forecast.estimates import Estimates, Row
from batchrun.planning import plan
from batchrun.readyjob import make_ready
from batchrun.screen.plan import duration, plan_text
from tests.run.rehearsal import SIX_REGIONS, job, numbered, rehearse

# 3,500 bytes at 3.5 bytes a token are 1,000 tokens, and a request has 8 besides: 1,008 a row.
LONG = ["x" * 3_500] * 100
TWO_LANES = {"scopes": ["us"], "source_regions": ["us-east-1", "us-west-2"]}


def planned(folder: Path, prompts: Any = LONG, show: int = 0, **changes: Any) -> dict[str, Any]:
    """Plan a job of 200 output tokens a row, by default at 60,000 quota tokens a minute on one lane."""
    return plan(job(folder, prompts, **changes), show=show, count=False)


def warning(found: dict[str, Any], words: str) -> str | None:
    """Return the one warning that has these words."""
    having = [line for line in found["warnings"] if words in line]
    assert len(having) < 2
    return having[0] if having else None


def test_a_share_that_one_row_might_break_is_warned_of(tmp_path):
    # 5 × (1,008 + 200) are 6,040; half of 10,000 is less.
    small = planned(tmp_path, quota={"tokens_per_minute": 10_000, "share": 0.5})
    large = planned(tmp_path, quota={"tokens_per_minute": 60_000, "share": 0.5})

    assert "6,040" in (warning(small, "quota.share") or "")
    assert warning(large, "quota.share") is None


# Rows, lanes, quotas


def test_a_plan_is_one_of_the_public_functions():
    assert batchrun.plan is plan


def test_a_plan_counts_rows_and_files(tmp_path):
    found = planned(tmp_path)

    assert (found["job"], found["rows"], found["input_files"]) == ("rehearsal", 100, 1)


def test_a_lane_is_told_with_the_regions_it_may_run_in(tmp_path):
    (lane,) = planned(tmp_path)["lanes"]

    assert (lane["scope"], lane["source_region"], lane["pool"]) == ("us", "us-east-1", "us-east-1/geo")
    assert lane["destination_regions"] == ["us-east-1", "us-east-2", "us-west-2"]


def test_a_lane_that_residency_forbids_is_told_with_the_reason(tmp_path):
    routing = {"scopes": ["us"], "source_regions": ["us-east-1", "ca-central-1"], "residency": "us"}
    found = planned(tmp_path, routing=routing)
    (refused,) = found["refused_lanes"]

    assert [lane["source_region"] for lane in found["lanes"]] == ["us-east-1"]
    assert (refused["scope"], refused["source_region"]) == ("us", "ca-central-1")
    assert "ca-central-1" in refused["why"]


def test_each_number_of_a_quota_says_where_it_came_from(tmp_path):
    quota = {"requests_per_minute": 500, "pools": {"us-east-1/geo": {"tokens_per_minute": 90_000}}}
    found = planned(tmp_path, routing=TWO_LANES, quota=quota)
    east, west = found["quotas"]

    assert (east["pool"], east["tokens_per_minute"], east["requests_per_minute"]) == ("us-east-1/geo", 90_000, 500)
    assert east["sources"]["tokens_per_minute"] == 'job: quota.pools."us-east-1/geo".tokens_per_minute'
    assert (west["pool"], west["tokens_per_minute"]) == ("us-west-2/geo", 60_000)
    assert west["sources"]["tokens_per_minute"] == "job: quota.tokens_per_minute"
    assert west["sources"]["requests_per_minute"] == "job: quota.requests_per_minute"


def test_a_day_quota_that_nobody_named_is_unknown(tmp_path):
    (quota,) = planned(tmp_path)["quotas"]

    assert quota["tokens_per_day"] is None
    assert quota["sources"]["tokens_per_day"].startswith("unknown")


def test_lanes_that_share_a_pool_have_one_quota(tmp_path):
    routing = {"scopes": ["global"], "source_regions": SIX_REGIONS}
    quota = {"global_pool": "shared"}
    found = planned(tmp_path, routing=routing, quota=quota)

    assert (len(found["lanes"]), len(found["quotas"])) == (6, 1)


# Sums


def test_tokens_are_the_mean_row_times_the_rows(tmp_path):
    tokens = planned(tmp_path)["tokens"]

    assert tokens["input_per_row"] == 1_008
    assert tokens["input"] == 100_800  # 100 × 1,008
    assert tokens["output_at_most"] == 20_000  # 100 × 200
    assert tokens["hold_per_row"] == 1_208  # 1,008 + 200


def test_dollars_are_bounded_by_no_answer_and_by_answers_at_max_tokens(tmp_path):
    usd = planned(tmp_path)["usd"]

    assert usd == {"geo": {"input": 0.11088, "at_most": 0.22088}}  # 100,800 × $1.10/M, and 20,000 × $5.50/M more


def test_dollars_are_told_for_each_class_of_lane(tmp_path):
    usd = planned(tmp_path, routing={"scopes": ["us", "global"], "source_regions": ["us-east-1"]})["usd"]

    assert usd["global"] == {"input": 0.1008, "at_most": 0.2008}  # $1.00/M and $5.00/M
    assert usd["geo"] == {"input": 0.11088, "at_most": 0.22088}


def test_private_prices_and_their_date_are_the_plans(tmp_path):
    found = planned(tmp_path, prices={"date": "2026-10-15", "geo": {"input": 2.0}})

    assert found["prices_date"] == "2026-10-15"
    assert found["usd"]["geo"] == {"input": 0.2016, "at_most": 0.3116}  # 100,800 × $2/M, and $0.11 as before


def test_minutes_follow_the_tokens_where_these_bind(tmp_path):
    minutes = planned(tmp_path)["minutes"]

    assert minutes["at_least"] == 1.68  # 100 × 1,008 / 60,000
    assert minutes["at_most"] == 3.35  # 100 × (1,008 + 5 × 200) / 60,000


def test_minutes_follow_the_requests_where_these_bind(tmp_path):
    minutes = planned(tmp_path, quota={"requests_per_minute": 10})["minutes"]

    assert minutes == {"at_least": 10.0, "at_most": 10.0}  # 100 calls at 10 a minute; tokens allow 59 and 29


def test_requests_may_bind_at_best_and_tokens_at_worst(tmp_path):
    minutes = planned(tmp_path, quota={"requests_per_minute": 40})["minutes"]

    assert minutes == {"at_least": 2.5, "at_most": 3.35}  # 100 / 40; tokens allow 59.5 at best and 29.9 at worst


def test_pools_add_up(tmp_path):
    minutes = planned(tmp_path, routing=TWO_LANES)["minutes"]

    assert minutes["at_least"] == 0.84  # 100 × 1,008 / (2 × 60,000)


def test_a_blocked_pool_adds_nothing(tmp_path):
    found = planned(tmp_path, routing=TWO_LANES, quota={"pools": {"us-west-2/geo": {"tokens_per_minute": 0}}})

    assert found["minutes"]["at_least"] == 1.68
    assert warning(found, "blocked by a quota of 0") == (
        "blocked by a quota of 0: us-west-2/geo: its quota is 0: tokens_per_minute "
        '(job: quota.pools."us-west-2/geo".tokens_per_minute)'
    )


def test_with_every_pool_blocked_a_job_takes_for_ever(tmp_path):
    found = planned(tmp_path, quota={"tokens_per_minute": 0})

    assert found["minutes"] == {"at_least": None, "at_most": None}
    assert "never" in plan_text(found)


def test_a_sample_is_spread_over_the_input(tmp_path):
    # The first half is short, the second long: a sample of the head alone would say 108.
    found = planned(tmp_path, ["x" * 350] * 1_000 + ["x" * 3_500] * 1_000)

    assert found["tokens"]["sampled_rows"] == 500
    assert found["tokens"]["input_per_row"] == 558  # (108 + 1,008) / 2


def test_limited_rows_are_all_that_counts(tmp_path):
    found = planned(tmp_path, limits={"rows": 20})

    assert (found["rows"], found["tokens"]["input"], found["tokens"]["output_at_most"]) == (20, 20_160, 4_000)
    assert found["minutes"]["at_least"] == 0.34  # 20 × 1,008 / 60,000


def test_a_limit_above_the_input_is_the_input(tmp_path):
    assert planned(tmp_path, limits={"rows": 1_000})["rows"] == 100


def test_an_empty_input_costs_nothing(tmp_path):
    found = planned(tmp_path, pa.table({"text": pa.array([], pa.string())}))

    assert found["rows"] == 0
    assert (found["tokens"]["input"], found["tokens"]["output_at_most"], found["tokens"]["sampled_rows"]) == (0, 0, 0)
    assert found["usd"] == {"geo": {"input": 0.0, "at_most": 0.0}}


# max_tokens that is learnt

AUTO = {"max_tokens": "auto", "max_tokens_ceiling": 4_096}


def test_with_auto_a_call_holds_the_beginning_and_bounds_are_the_ceilings(tmp_path):
    found = planned(tmp_path, generation=AUTO)

    assert found["tokens"]["hold_per_row"] == 1_520  # 1,008 + 512
    assert found["tokens"]["output_at_most"] == 409_600  # 100 × 4,096
    assert found["usd"]["geo"]["at_most"] == 2.36368  # 0.11088 + 409,600 × $5.50/M
    assert found["minutes"]["at_most"] == 35.81  # 100 × (1,008 + 5 × 4,096) / 60,000
    assert found["max_tokens"] == {
        "set": "auto",
        "ceiling": 4_096,
        "first": 512,
        "advice": None,
        "answers": 0,
        "longest_answer": 0,
        "p99_answer": 0,
    }
    page = plan_text(found)
    assert "a call holds about 1,520 quota tokens: its input and max_tokens, which begins at 512 and is learnt" in page
    assert "with every answer at max_tokens_ceiling" in page


def test_with_auto_a_call_holds_what_an_earlier_start_learnt(tmp_path):
    prompts = numbered(300, "[[output_tokens=60]]")
    rehearse(job(tmp_path, prompts, generation=AUTO, limits={"rows": 200}))
    found = planned(tmp_path, prompts, generation=AUTO)

    assert (found["max_tokens"]["first"], found["max_tokens"]["answers"]) == (320, 200)  # 5 × 60, in steps of 32
    assert "the 320 max_tokens learnt from 200 earlier answers" in plan_text(found)


def test_a_request_is_shown_as_a_run_begins(tmp_path):
    (request,) = planned(tmp_path, generation=AUTO, show=1)["requests"]

    assert request["max_tokens"] == 512


@pytest.mark.parametrize(
    ("generation", "key"),
    [
        ({"max_tokens": 64_001}, "generation.max_tokens = 64001"),
        ({"max_tokens": "auto", "max_tokens_ceiling": 64_001}, "generation.max_tokens_ceiling = 64001"),
    ],
)
def test_more_than_the_model_writes_is_refused(tmp_path, generation, key):
    with pytest.raises(JobError, match=f"{key}: .* writes at most 64000"):
        planned(tmp_path, generation=generation)


def test_a_large_fixed_number_is_told_of_auto_before_anything_is_known(tmp_path):
    found = planned(tmp_path, numbered(10), generation={"max_tokens": 4_096})
    advice = found["max_tokens"]["advice"]

    assert advice.startswith("100 % of what a call holds of the quota is max_tokens = 4096: where most answers")
    assert f"advice:  {advice}" in plan_text(found)


@pytest.mark.parametrize("max_tokens", [200, 2_048])
def test_a_number_that_is_small_or_small_beside_the_input_is_not(tmp_path, max_tokens):
    # 2,048 of 3,056 tokens held are 67 %.
    assert planned(tmp_path, generation={"max_tokens": max_tokens})["max_tokens"]["advice"] is None


def test_a_plan_over_an_earlier_start_says_what_a_smaller_number_would_save(tmp_path):
    prompts = numbered(100, "[[output_tokens=60]]")
    rehearse(job(tmp_path, prompts, generation={"max_tokens": 4_096}, limits={"rows": 50}))
    found = planned(tmp_path, prompts, generation={"max_tokens": 4_096})

    assert found["max_tokens"]["answers"] == 50
    assert found["max_tokens"]["advice"].startswith("answers used at most 60 of 4,096 max_tokens (99 % of them ≤ 60)")
    assert "max_tokens = 512 would hold 87 % less" in found["max_tokens"]["advice"]


def test_answers_of_another_job_say_nothing(tmp_path):
    prompts = numbered(100, "[[output_tokens=60]]")
    rehearse(job(tmp_path, prompts, generation={"max_tokens": 4_096}, limits={"rows": 50}))
    other = planned(tmp_path, prompts, generation={"max_tokens": 4_096}, prompt={"user": "{{ text }}!"})

    assert other["max_tokens"]["answers"] == 0


# Warnings


def test_a_job_on_aws_with_its_quota_and_good_rows_has_no_warning(tmp_path):
    assert planned(tmp_path, aws={"endpoint_url": None})["warnings"] == []


def test_answers_that_do_not_come_from_aws_are_a_warning(tmp_path):
    assert warning(planned(tmp_path), "the answers do not come from AWS") is not None


def test_a_quota_that_nobody_set_is_a_warning_with_the_number_taken(tmp_path):
    found = planned(tmp_path, quota={"tokens_per_minute": None})

    assert found["quotas"][0]["sources"]["tokens_per_minute"] == "card default"
    assert "5,000,000" in str(warning(found, "quota.tokens_per_minute is not set for 1 of 1 pools"))


def test_a_row_that_holds_more_than_any_quota_is_a_warning(tmp_path):
    found = planned(tmp_path, quota={"tokens_per_minute": 1_200})

    assert "a row holds up to 1,208 quota tokens" in str(warning(found, "above the largest quota of 1,200 a minute"))


def test_a_row_that_just_fits_is_none(tmp_path):
    assert warning(planned(tmp_path, quota={"tokens_per_minute": 1_208}), "a row holds") is None


def test_ids_that_repeat_are_a_warning(tmp_path):
    table = pa.table({"id": ["a", "b", "a"], "text": ["x", "y", "z"]})
    found = planned(tmp_path, table, input={"id": "id"})

    assert "'a'" in str(warning(found, "input.id 'id'"))


def test_ids_that_differ_are_none(tmp_path):
    table = pa.table({"id": ["a", "b", "c"], "text": ["x", "y", "z"]})

    assert warning(planned(tmp_path, table, input={"id": "id"}), "input.id") is None


def test_rows_that_cannot_be_sent_are_a_warning_with_one_of_them(tmp_path):
    found = planned(tmp_path, ["a fish", None, "a bird", None])

    assert "such as row 1: " in str(warning(found, "2 of 4 sampled rows cannot be sent"))


# The rendered requests


def test_no_request_is_shown_unless_asked_for(tmp_path):
    assert planned(tmp_path)["requests"] == []


def test_the_first_requests_are_shown_as_they_are_sent(tmp_path):
    spec = {"prompt": {"system": "Be brief.", "prefill": "{"}, "generation": {"temperature": 0.5}}
    first, second = planned(tmp_path, numbered(10), show=2, **spec)["requests"]

    assert first == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": [
            {"role": "user", "content": "0: Name a colour."},
            {"role": "assistant", "content": "{"},
        ],
        "system": "Be brief.",
        "temperature": 0.5,
    }
    assert second["messages"][0]["content"] == "1: Name a colour."


def test_more_requests_than_rows_cannot_be_shown(tmp_path):
    assert len(planned(tmp_path, numbered(10), show=50, limits={"rows": 3})["requests"]) == 3


# What a plan leaves alone


def test_a_plan_makes_no_output_folder(tmp_path):
    planned(tmp_path, show=3)

    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_plan_over_an_output_leaves_every_byte_of_it(tmp_path):
    spec = job(tmp_path, numbered(10))
    rehearse(spec)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    plan(spec)

    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(files)


def test_a_plan_that_is_not_to_count_calls_nobody(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        planned(tmp_path, aws={"endpoint_url": f"http://127.0.0.1:{listener.getsockname()[1]}"})

        with pytest.raises(BlockingIOError):
            listener.accept()


# The page


def test_the_page_of_a_plan_says_its_numbers(tmp_path):
    page = plan_text(planned(tmp_path))

    assert "rehearsal: 100 rows from 1 file; a plan spends nothing" in page
    assert "100,800 in together, at most 20,000 out" in page
    assert "geo: 0.1109 for the input, at most 0.2209 with every answer at max_tokens (prices of 2026-11-01)" in page
    assert "time     1.7 minutes to 3.4 minutes at the quotas, bound by tokens_per_minute" in page
    assert "us from us-east-1" in page


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0.2, "12 s"), (1.68, "1.7 minutes"), (119, "119.0 minutes"), (2_016, "33.6 hours"), (4_016, "2.8 days"),
     (500_000, "347 days"), (2_000_000, "3.8 years")],
)  # fmt: skip
def test_a_time_is_said_as_a_person_would(minutes, said):
    assert duration(minutes) == said


def test_long_jobs_are_told_in_hours_and_days(tmp_path):
    # 100 × 1,008 tokens at 50 a minute are 2,016 minutes, 33.6 hours; at most 4,016 minutes, 2.8 days.
    assert "time     33.6 hours to 2.8 days at the quotas" in plan_text(
        planned(tmp_path, quota={"tokens_per_minute": 50})
    )


def test_two_requests_a_minute_over_a_million_rows_are_347_days(tmp_path):
    table = pa.table({"text": pa.repeat("x", 1_000_000)})
    found = planned(tmp_path, table, quota={"requests_per_minute": 2})  # 1,000,000 / 2 / 1,440

    assert "time     347 days at the quotas, bound by requests_per_minute" in plan_text(found)
    told = str(warning(found, "the job takes 347 days with requests_per_minute = 2 in all pools"))
    assert "ask for more in the AWS console (Service Quotas)" in told


# What is likely


def test_without_an_answer_nothing_is_said_to_be_likely(tmp_path):
    found = planned(tmp_path)

    assert found["expected"] is None
    assert "likely" not in plan_text(found)


def test_earlier_answers_say_what_is_likely(tmp_path):
    prompts = [f"{number}{'x' * 3_499} [[output_tokens=60]]" for number in range(10)]
    rehearse(job(tmp_path, prompts, limits={"rows": 5}))
    found = planned(tmp_path, prompts)
    expected, per_row = found["expected"], found["tokens"]["input_per_row"]

    assert (expected["output_tokens"], expected["from"]) == (600, "5 earlier answers")
    assert expected["usd"] == pytest.approx(10 * (per_row * 1.1 + 60 * 5.5) / 1e6, rel=1e-3)
    assert expected["minutes"] == pytest.approx(10 * (per_row + 5 * 60) / 60_000, abs=0.01)
    assert "likely   600 tokens out (60 a row, by 5 earlier answers), $" in plan_text(found)


def test_a_job_beyond_a_minute_of_the_cheaper_pools_is_shared_by_their_rates(tmp_path):
    # The global pool allows three times what the geo pool does; a row is charged 1,008 and 5 × its output.
    routing = {"scopes": ["us", "global"], "source_regions": ["us-east-1"]}
    quota = {
        "pools": {"us-east-1/global": {"tokens_per_minute": 30_000}, "us-east-1/geo": {"tokens_per_minute": 10_000}}
    }
    ready = make_ready(job(tmp_path, LONG, routing=routing, quota=quota))

    assert Estimates(ready, 1_000, Row(1_008.0)).shares(1_008.0) == {"geo": 0.25, "global": 0.75}
    assert Estimates(ready, 20, Row(1_008.0)).shares(1_008.0) == {"global": 1.0}  # 30,000 / 1,008 fit into a minute
