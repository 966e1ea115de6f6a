"""Prompt caching over whole runs: who writes a prefix and who waits, on which lanes, for how many dollars."""

import io
import json

import anyio
import pyarrow as pa
import pytest

from batchrun.api import arun
from batchrun.errors import JobError
from batchrun.lanes.budget import dollars
from batchrun.planning import plan
from batchrun.readyjob import make_ready
from batchrun.records import Usage
from batchrun.screen.plan import plan_text
from batchrun.screen.summary import summary_text
from tests.run.rehearsal import SIX_REGIONS, job, numbered, rehearse

RULES = "".join(
    f"Rule {number}: say so plainly, in one sentence and no more. " for number in range(400)
)  # 6,000 tokens
SHORT = RULES[:9_000]
ROOMY = {"tpm": 2_000_000, "latency_s": 2.0, "latency_per_token_s": 0}
DOORS = {
    "invoke": {},
    "converse": {"model": {"api": "converse"}},
    "http": {"model": {"transport": "http"}},
    "messages": {"model": {"api": "messages"}, "cache": {"ttl": "1h"}},
    "mantle": {"model": {"api": "messages", "endpoint": "mantle"}, "routing": {"scopes": None}},
}
LANES = {"scopes": ["us"], "source_regions": SIX_REGIONS[:5]}


def cached(folder, prompts, **changes):
    tables = {
        "prompt": {"system": RULES},
        "cache": {"system": True},
        "quota": {"tokens_per_minute": 2_000_000},
        "emulator": ROOMY,
    }
    return job(
        folder, prompts, **{name: {**tables.get(name, {}), **changes.get(name, {})} for name in tables | changes}
    )


def served(ended, what):
    return [row for row in ended.rows() if row[what]]


@pytest.mark.parametrize("door", DOORS)
def test_one_row_of_a_lane_writes_the_prefix_and_the_others_read_it(tmp_path, door):
    ended = rehearse(cached(tmp_path, numbered(40), **DOORS[door]))

    assert ended.summary["by_status"] == {"ok": 40}
    [writer] = served(ended, "cache_write_tokens")
    assert (writer["row"], writer["cache_read_tokens"]) == (0, 0)
    assert writer["cache_write_tokens"] > 4_096
    readers = served(ended, "cache_read_tokens")
    assert len(readers) == 39
    assert {row["cache_read_tokens"] for row in readers} == {writer["cache_write_tokens"]}
    assert max(row["input_tokens"] for row in ended.rows()) < 100


@pytest.mark.parametrize("door", DOORS)
def test_over_http_too_a_prefix_is_written_once_and_read(tmp_path, door):
    quick = {**ROOMY, "latency_s": 0.05}
    spec = cached(tmp_path, numbered(12), emulator=quick, **DOORS[door])
    summary = anyio.run(arun, spec, backend="asyncio")

    assert (summary["exit_code"], summary["cache"]["hits"], summary["cache"]["misses"]) == (0, 11, 1)
    assert summary["cache"]["saved_usd"] > 0


def test_nobody_goes_until_the_first_answer_is_there(tmp_path):
    ended = rehearse(cached(tmp_path, numbered(6), emulator={**ROOMY, "latency_s": 7.0}))

    assert ended.wall_s == pytest.approx(14.0, abs=1.0)  # one alone, then all the others


def test_every_lane_has_a_writer_of_its_own(tmp_path):
    ended = rehearse(cached(tmp_path, numbered(200), routing=LANES, quota={"tokens_per_minute": 300_000}))

    writers = served(ended, "cache_write_tokens")
    lanes = {(row["inference_id"], row["source_region"]) for row in ended.rows()}
    assert len(lanes) == 5
    assert len(writers) == 5
    assert {(row["inference_id"], row["source_region"]) for row in writers} == lanes


def test_the_bill_and_the_summary_agree_with_the_emulators_books(tmp_path):
    spec = cached(tmp_path, numbered(60), cache={"ttl": "1h"})
    ended = rehearse(spec)
    prices = make_ready(spec).prices["geo"]
    stats, told = ended.stats, ended.summary["cache"]

    assert ended.summary["usd"] == pytest.approx(stats["paid_usd"], abs=1e-8)
    assert (told["hits"], told["misses"], told["ignored"]) == (59, 1, 0)
    assert told["read_tokens"] == ended.summary["tokens"]["cache_read"] == stats["paid_cache_read_tokens"]
    assert told["write_tokens"] == ended.summary["tokens"]["cache_write"] == stats["paid_cache_write_tokens"]
    without = dollars(
        Usage(stats["paid_input_tokens"] + told["read_tokens"] + told["write_tokens"], stats["paid_output_tokens"]),
        prices,
    )
    assert told["saved_usd"] == pytest.approx(without - stats["paid_usd"], abs=1e-8)
    assert f"  cache     saved ${told['saved_usd']:.6f}: 59 answers read" in summary_text(ended.summary)


def test_reads_are_free_of_quota(tmp_path):
    ended = rehearse(cached(tmp_path, numbered(50)))

    [book] = [ended.bedrock.books.pool("us-east-1/geo")]
    assert ended.stats["paid_cache_read_tokens"] > 200_000
    expected = ended.stats["paid_input_tokens"] + ended.stats["paid_cache_write_tokens"]
    assert book.settled_tokens == expected + 5 * ended.stats["paid_output_tokens"]
    [lane] = ended.summary["lanes"]
    assert lane["quota_used"] < 0.02


def test_estimates_count_what_was_read_and_written_as_input(tmp_path):
    ended = rehearse(cached(tmp_path, numbered(200)))

    assert ended.summary["estimates"]["input_error_mean_abs"] < 0.1  # what is neither is 0.3 % of the input


def test_a_writer_that_fails_is_followed_by_the_next(tmp_path):
    prompts = ["first [[fault=ModelErrorException*1]]", *numbered(9)]
    ended = rehearse(cached(tmp_path, prompts))

    assert ended.summary["by_status"] == {"ok": 10}
    assert [row["row"] for row in served(ended, "cache_write_tokens")] == [1]


def test_rows_with_another_prefix_do_not_wait_for_a_writer(tmp_path):
    groups = [f"{group}" for group in "abc" for _ in range(4)]
    table = pa.table({"text": numbered(12), "rules": [f"{group}: {RULES}" for group in groups]})
    ended = rehearse(cached(tmp_path, table, prompt={"system": "{{ rules }}"}))

    writers = served(ended, "cache_write_tokens")
    assert [row["row"] for row in writers] == [0, 4, 8]
    assert ended.wall_s < 6.0  # 2 s for the writers together, 2 s for the rest


def test_few_rows_of_a_prefix_stay_on_the_lane_that_keeps_it(tmp_path):
    groups = [f"{group}" for group in range(20) for _ in range(3)]
    table = pa.table({"text": numbered(60), "rules": [f"{group}: {RULES}" for group in groups]})
    changes = {"prompt": {"system": "{{ rules }}"}, "routing": LANES, "generation": {"max_tokens": 500}}
    ended = rehearse(cached(tmp_path, table, **changes))

    lanes = {}
    for row in ended.rows():
        lanes.setdefault(groups[row["row"]], set()).add(row["source_region"])
    assert len(served(ended, "cache_write_tokens")) == 20
    assert {len(regions) for regions in lanes.values()} == {1}
    assert len(set.union(*lanes.values())) == 5  # all of them are in use


def test_a_prefix_that_was_unused_for_its_ttl_is_written_again(tmp_path):
    prompts = ["one", "two [[latency_s=400]]", "three", "four"]  # sent one after the other: at 0, 2, 402 and 404 s
    ended = rehearse(cached(tmp_path, prompts, limits={"max_in_flight": 1}))

    assert [row["row"] for row in served(ended, "cache_write_tokens")] == [0, 2]


def test_reads_a_minute_apart_keep_a_prefix_for_as_long_as_the_run_takes(tmp_path):
    per_minute = {"tokens_per_minute": 2_000_000, "requests_per_minute": 1}
    ended = rehearse(cached(tmp_path, numbered(8), quota=per_minute, emulator={**ROOMY, "rpm": 1}))

    assert ended.wall_s > 400
    assert [row["row"] for row in served(ended, "cache_write_tokens")] == [0]


def test_a_few_shot_conversation_is_kept_up_to_the_rows_own_question(tmp_path):
    shots = [{"role": "user", "content": RULES}, {"role": "assistant", "content": "Understood."}]
    turns = [json.dumps([*shots, {"role": "user", "content": f"Question {number}?"}]) for number in range(12)]
    table = pa.table({"turns": turns})
    spec = cached(
        tmp_path,
        table,
        prompt={"system": None, "user": None, "messages": "turns"},
        cache={"system": False, "messages": 2},
    )
    ended = rehearse(spec)

    assert [row["row"] for row in served(ended, "cache_write_tokens")] == [0]
    assert len(served(ended, "cache_read_tokens")) == 11


def test_the_tools_of_a_schema_are_kept_with_converse(tmp_path):
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "description": RULES}},
        "required": ["label"],
    }
    spec = cached(
        tmp_path,
        numbered(6),
        prompt={"system": None},
        model={"api": "converse"},
        generation={"max_tokens": 200, "schema": schema},
        cache={"system": False, "tools": True},
    )
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"ok": 6}
    assert len(served(ended, "cache_read_tokens")) == 5


def test_a_prefix_that_is_too_short_is_refused_before_the_run_with_both_numbers(tmp_path):
    with pytest.raises(JobError, match=r"cache\.system: .* about 2,571 tokens, at most 2,956; .* of 4,096 and more"):
        make_ready(cached(tmp_path, ["x"], prompt={"system": SHORT}))


def test_tools_that_are_too_short_alone_are_refused_though_the_system_prompt_is_long(tmp_path):
    schema = {"type": "object", "properties": {"label": {"type": "string"}}}
    changes = {"model": {"api": "converse"}, "generation": {"max_tokens": 9, "schema": schema}}
    with pytest.raises(JobError, match=r"leave cache\.tools out, the other checkpoint keeps the tools too"):
        make_ready(cached(tmp_path, ["x"], cache={"tools": True}, **changes))


def test_a_prefix_near_the_bound_is_let_through_with_a_warning(tmp_path):
    spec = cached(tmp_path, ["x"], prompt={"system": RULES[:14_400]})

    assert any("about 4,114 tokens" in warning for warning in make_ready(spec).warnings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": {"system": None}}, "cache.system = true: has nothing to keep"),
        ({"cache": {"tools": True}}, "cache.tools = true: has nothing to keep"),
        ({"cache": {"messages": True}}, "cache.messages = true: has nothing to keep"),
        ({"cache": {"messages": 0}}, "cache.messages = 0: must be true, false or a whole number"),
        ({"cache": {"ttl": "2h"}}, 'cache.ttl = "2h"'),
        ({"cache": {"system": False, "ttl": "1h"}}, 'cache.ttl = "1h": has no effect without'),
        ({"cache": {"ttl": "1h"}, "model": {"api": "converse"}}, 'cache.ttl = "1h": cannot be carried by Converse'),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path, changes, words):
    with pytest.raises(JobError) as refused:
        cached(tmp_path, ["x"], **changes)

    assert words in str(refused.value)


def test_a_plan_says_when_hardly_two_rows_share_a_prefix(tmp_path):
    table = pa.table({"text": numbered(30), "rules": [f"{number}: {RULES}" for number in range(30)]})
    planned = plan(cached(tmp_path, table, prompt={"system": "{{ rules }}"}))

    assert any("30 of 30 sampled rows have a prefix of their own" in warning for warning in planned["warnings"])


def test_a_plan_says_how_many_rows_have_too_short_a_prefix(tmp_path):
    table = pa.table({"text": numbered(30), "rules": ["Be brief."] * 10 + [RULES] * 20})
    planned = plan(cached(tmp_path, table, prompt={"system": "{{ rules }}"}))

    assert any("of 30 sampled rows 10 have no prefix of 4,096 tokens" in warning for warning in planned["warnings"])


def test_a_plan_says_what_the_input_comes_to_with_the_cache_and_without(tmp_path):
    spec = cached(tmp_path, numbered(100), routing=LANES, generation={"max_tokens": 500})
    told = plan(spec)["cache"]
    ended = rehearse(spec)
    output = ended.stats["paid_output_tokens"] * 5.5e-6

    assert (told["prefixes"], told["kept_rows"]) == (1, 100)
    assert told["usd"]["geo"]["with"] == pytest.approx(ended.stats["paid_usd"] - output, rel=0.2)
    assert told["usd"]["geo"]["without"] > 5 * told["usd"]["geo"]["with"]
    assert told["usd"]["geo"]["at_most"] == pytest.approx(1.25 * told["usd"]["geo"]["without"], rel=0.01)
    assert "instead of" in plan_text(plan(spec))


def test_a_plan_without_a_cache_says_nothing_of_it(tmp_path):
    planned = plan(job(tmp_path, ["x"]))

    assert planned["cache"] is None
    assert "cache" not in plan_text(planned)


def test_a_cache_that_loses_money_is_told_of_while_the_run_goes_on(tmp_path):
    table = pa.table({"text": numbered(150), "rules": [f"{number}: {RULES}" for number in range(150)]})
    screen = io.StringIO()
    ended = rehearse(cached(tmp_path, table, prompt={"system": "{{ rules }}"}), screen=screen)

    assert screen.getvalue().count("warning: cache: it loses money") == 1
    [note] = [note for note in ended.summary["notes"] if note.startswith("cache: it loses money")]
    assert "in 100 answers 0 read a prefix and 100 wrote one" in note
    assert ended.summary["cache"]["saved_usd"] < 0
    assert "  cache     lost $" in summary_text(ended.summary)


def test_caching_is_no_part_of_what_an_output_belongs_to(tmp_path):
    rehearse(cached(tmp_path, numbered(4), limits={"rows": 2}, cache={"system": False}))
    ended = rehearse(cached(tmp_path, numbered(4)))

    assert ended.summary["rows"] == 4
    assert ended.summary["cache"]["misses"] == 1


def test_without_a_cache_the_summary_has_none(tmp_path):
    assert rehearse(job(tmp_path, ["x"])).summary["cache"] is None


def test_a_dollar_cap_counts_writes_at_their_price(tmp_path):
    spec = cached(tmp_path, numbered(30), cache={"ttl": "1h"}, limits={"max_cost_usd": 0.06})
    ended = rehearse(spec)

    assert ended.stats["paid_usd"] <= 0.06


def test_all_of_a_run_under_chaos_ends_with_every_row_answered_once(tmp_path):
    faults = {"ThrottlingException": 0.05, "InternalServerException": 0.05, "reset": 0.05, "ModelErrorException": 0.05}
    spec = cached(
        tmp_path,
        numbered(200),
        routing=LANES,
        generation={"max_tokens": 500},
        quota={"tokens_per_minute": 300_000},
        emulator={**ROOMY, "faults": faults, "cache_miss": 0.1, "tpm": 300_000},
    )
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"ok": 200}
    assert ended.summary["cache"]["hits"] > 150
