"""max_tokens = "auto" over whole runs: learnt, sent again with more, paid for once each, and kept over a restart."""

import json
from collections import defaultdict

import pytest

from batchrun.api import RunOptions, StandIns, arun
from batchrun.clock import Clock
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock
from batchrun.errors import InputError
from batchrun.records import Completion
from batchrun.screen.summary import summary_text
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse
from tests.virtual import run_virtual

AUTO = {"max_tokens": "auto", "max_tokens_ceiling": 64_000}
PLENTY = {"tpm": 10_000_000, "latency_s": 0.5, "latency_per_token_s": 0.002}


class Watched(EmulatedTransport):
    """Notes the max_tokens of every call, by row and in the order of the calls."""

    def __init__(self, spec: EmulatorSpec, api: str = "invoke", **more) -> None:
        super().__init__(Bedrock(spec), api, **more)
        self.had: dict[int, list[int]] = defaultdict(list)
        self.sizes: list[int] = []

    async def send(self, inference_id, source_region, request):
        self.had[request.row].append(request.max_tokens)
        self.sizes.append(request.max_tokens)
        return await super().send(inference_id, source_region, request)


def auto_job(folder, prompts, **changes):
    """A job on a pool with room for everything."""
    plenty = {"quota": {"tokens_per_minute": 10_000_000}, "emulator": PLENTY, "generation": AUTO}
    return job(folder, prompts, **{**plenty, **changes})


def watched(spec, transport: Watched | None = None, **options):
    """Rehearse, and return the run with what its transport saw."""
    carrier = transport or Watched(spec.emulator, spec.model.api)
    return rehearse(spec, carrier, **options), carrier


def asking(*lengths: int) -> list[str]:
    """Return a prompt for each length of answer."""
    return [f"{row}: Name a fish. [[output_tokens={length}]]" for row, length in enumerate(lengths)]


def paid_usd(bedrock: Bedrock) -> float:
    """What the emulator's books say at the us price [USD]."""
    return (1.1 * bedrock.books.input_tokens + 5.5 * bedrock.books.output_tokens) / 1e6


def sent_again(ended) -> dict[str, float]:
    return ended.summary["max_tokens"]["sent_again"]


# Learning


def test_calls_hold_less_once_answers_are_known_to_be_short(tmp_path):
    ended, transport = watched(auto_job(tmp_path, asking(*[60] * 600)))

    assert ended.summary["by_status"] == {"ok": 600}
    assert transport.sizes[0] == 512
    assert transport.sizes[-1] == 320  # 5 × 60, in steps of 32
    assert ended.summary["max_tokens"]["learnt"] == 320
    assert sent_again(ended) == {"rows": 0, "usd": 0.0, "share": 0.0}


def test_rows_that_wait_already_go_out_with_what_was_learnt_last(tmp_path):
    # Four calls of a second at a time, and rows rendered at 512 wait for them: only the first four hold that much.
    spec = auto_job(tmp_path, asking(*[2_000] * 40), limits={"max_in_flight": 4})
    _, transport = watched(spec)

    assert transport.sizes.count(512) == 4


def test_the_first_flight_is_small_until_an_answer_is_known(tmp_path):
    # All 1,000 answers are longer than 512 tokens, and the quota has room for hundreds at once: eight are cut.
    ended, transport = watched(auto_job(tmp_path, asking(*[2_000] * 1_000)))

    assert ended.summary["by_status"] == {"ok": 1_000}
    assert sent_again(ended)["rows"] == 8
    assert transport.sizes.count(512) == 8
    assert transport.most_in_flight > 100


def test_answers_that_become_longer_cost_no_more_than_the_calls_in_flight_twice(tmp_path):
    spec = auto_job(tmp_path, asking(*[60] * 1_000, *[1_500] * 1_000), limits={"max_in_flight": 20})
    ended, _ = watched(spec)

    assert ended.summary["by_status"] == {"ok": 2_000}
    assert sent_again(ended)["rows"] <= 20 + 4  # four of the latest 200 are noticed at once
    assert ended.summary["max_tokens"]["learnt"] >= 1_500


def test_answers_that_become_longer_little_by_little_are_followed(tmp_path):
    ended, _ = watched(auto_job(tmp_path, asking(*[50 + row // 2 for row in range(2_000)])))

    assert ended.summary["by_status"] == {"ok": 2_000}
    assert sent_again(ended)["share"] <= 0.01


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_the_emulators_own_lengths_are_learnt_over_either_api(tmp_path, api):
    # Lognormal, median 60, sigma 0.6: one in a hundred is longer than 242 tokens.
    ended, transport = watched(auto_job(tmp_path, numbered(2_000), model={"api": api}))

    assert ended.summary["by_status"] == {"ok": 2_000}
    assert 320 <= transport.sizes[-1] <= 480
    assert sent_again(ended)["share"] <= 0.01
    assert ended.stats["paid_calls"] == 2_000 + sum(len(had) - 1 for had in transport.had.values())


# Sent again


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_a_cut_answer_is_asked_for_with_four_times_as_much_then_with_the_ceiling(tmp_path, api):
    ended, transport = watched(auto_job(tmp_path, asking(5_000), model={"api": api}))
    row = ended.row(0)

    assert transport.had[0] == [512, 2_048, 64_000]
    assert (row["status"], row["stop_reason"], row["output_tokens"]) == ("ok", "end_turn", 5_000)
    assert row["attempts"] == 3
    assert row["cost_usd"] == pytest.approx(paid_usd(ended.bedrock))
    assert ended.stats["paid_output_tokens"] == 512 + 2_048 + 5_000


def test_an_answer_that_the_ceiling_cuts_is_truncated(tmp_path):
    ended, transport = watched(auto_job(tmp_path, asking(5_000), generation={**AUTO, "max_tokens_ceiling": 1_000}))
    row = ended.row(0)

    assert transport.had[0] == [512, 1_000]
    assert (row["status"], row["stop_reason"], row["output_tokens"]) == ("truncated", "max_tokens", 1_000)
    assert len(row["text"].split()) == 1_000


def test_a_ceiling_below_512_cuts_for_good(tmp_path):
    ended, transport = watched(auto_job(tmp_path, asking(500), generation={**AUTO, "max_tokens_ceiling": 100}))

    assert transport.had[0] == [100]
    assert ended.row(0)["status"] == "truncated"


def test_cut_answers_are_no_failures(tmp_path):
    # One attempt a row, and no share of extra calls: neither keeps a cut row from its answer.
    retry = {"max_attempts": 1, "budget": 0.001}
    ended, _ = watched(auto_job(tmp_path, asking(*[3_000] * 60), retry=retry))

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": 60})
    assert ended.summary["faults"] == {}


def test_a_row_sent_again_goes_before_those_that_wait(tmp_path):
    spec = auto_job(tmp_path, asking(600, *[400] * 20), limits={"max_in_flight": 1})
    order: list[int] = []

    class Ordered(Watched):
        async def send(self, inference_id, source_region, request):
            order.append(request.row)
            return await super().send(inference_id, source_region, request)

    rehearse(spec, Ordered(spec.emulator))

    assert order[:3] == [0, 0, 1]


def test_a_fault_between_changes_nothing(tmp_path):
    prompt = "[[output_tokens=700]] [[fault=ThrottlingException*1]] Name a fish."
    ended, transport = watched(auto_job(tmp_path, [prompt]))

    assert transport.had[0] == [512, 512, 2_048]
    assert ended.row(0)["status"] == "ok"


def test_a_cut_answer_is_kept_if_no_better_one_comes(tmp_path):
    class Failing(Watched):
        async def send(self, inference_id, source_region, request):
            if request.max_tokens > 512:
                request = self.broken(request)
            return await super().send(inference_id, source_region, request)

        def broken(self, request):
            prompt = {**json.loads(request.body), "max_tokens": 0}
            return type(request)(request.row, request.prompt, json.dumps(prompt).encode(), 1, 1)

    spec = auto_job(tmp_path, asking(700))
    ended = rehearse(spec, Failing(spec.emulator))
    row = ended.row(0)

    assert (row["status"], row["output_tokens"], len(row["text"].split())) == ("truncated", 512, 512)
    assert row["error_code"] == "ValidationException"
    assert row["cost_usd"] == pytest.approx(paid_usd(ended.bedrock))


def test_a_ceiling_that_no_pool_takes_gives_what_fits(tmp_path):
    quota = {"tokens_per_minute": 50_000}
    spec = auto_job(tmp_path, asking(5_000, 50_000), quota=quota, emulator={**PLENTY, "tpm": 50_000})
    ended, transport = watched(spec)

    assert ended.row(0)["status"] == "ok"
    assert ended.row(1)["status"] == "truncated"
    assert 44_900 < max(transport.sizes) < 45_000  # nine tenths of the quota, beside the input
    assert ended.summary["faults"].get("ThrottlingException", 0) <= 1  # a test whether the minute is a bucket


# Money


def test_costs_add_up_to_the_books_of_the_service(tmp_path):
    lengths = [30 + 97 * row % 3_000 for row in range(300)]
    ended, _ = watched(auto_job(tmp_path, asking(*lengths)))
    again = sent_again(ended)

    assert ended.summary["by_status"] == {"ok": 300}
    assert again["rows"] > 0
    assert ended.summary["usd"] == pytest.approx(paid_usd(ended.bedrock))
    assert sum(row["cost_usd"] for row in ended.rows()) == pytest.approx(paid_usd(ended.bedrock))
    whole_usd = sum(1.1 * row["input_tokens"] + 5.5 * row["output_tokens"] for row in ended.rows()) / 1e6
    assert again["usd"] == pytest.approx(ended.summary["usd"] - whole_usd)


@pytest.mark.parametrize("cap_usd", [0.02, 0.1, 0.3])
def test_the_cost_cap_is_never_exceeded(tmp_path, cap_usd):
    spec = auto_job(tmp_path, asking(*[700] * 300), limits={"max_cost_usd": cap_usd})
    first = rehearse(spec)
    second = rehearse(spec, first.transport)

    assert first.code == second.code == 3
    assert "limits.max_cost_usd" in first.reason
    assert paid_usd(first.bedrock) <= cap_usd


class Dying(Watched):
    """Cancels the run at the first call with more than 512 tokens."""

    scope = None

    async def send(self, inference_id, source_region, request):
        if request.max_tokens > 512:
            raise KilledError
        return await super().send(inference_id, source_region, request)


class KilledError(Exception):
    """Stands for the end of the process."""


def killed_before_it_is_sent_again(spec) -> Dying:
    """Run until the first cut row would go out again, and let the process end there."""
    transport = Dying(spec.emulator)

    async def run() -> None:
        await arun(spec, RunOptions(), StandIns(transport, Clock()))

    with pytest.raises(KilledError):
        run_virtual(run)
    return transport


def test_what_a_cut_answer_cost_survives_a_kill_and_is_part_of_the_rows_cost(tmp_path):
    spec = auto_job(tmp_path, asking(700), limits={"max_in_flight": 1})
    bedrock = killed_before_it_is_sent_again(spec).bedrock
    cut_usd = paid_usd(bedrock)
    ended = rehearse(spec, EmulatedTransport(bedrock))

    assert cut_usd > 512 * 5.5e-6
    assert ended.row(0)["status"] == "ok"
    assert ended.row(0)["cost_usd"] == pytest.approx(paid_usd(bedrock))
    assert ended.summary["usd"] == pytest.approx(paid_usd(bedrock))


def test_what_a_cut_answer_cost_counts_against_the_cap_after_a_kill(tmp_path):
    # The cut answer cost $0.00284, the call that was killed may have cost $0.0114: $0.015 leave no room.
    spec = auto_job(tmp_path, asking(700), limits={"max_in_flight": 1})
    bedrock = killed_before_it_is_sent_again(spec).bedrock
    capped = auto_job(tmp_path, asking(700), limits={"max_cost_usd": 0.015})
    ended = rehearse(capped, EmulatedTransport(bedrock))

    assert ended.code == 3
    assert ended.calls == 0
    assert "$0.0142" in ended.reason


# A restart


def test_a_second_start_begins_with_what_the_first_learnt(tmp_path):
    prompts = asking(*[60] * 600)
    first, _ = watched(auto_job(tmp_path, prompts, limits={"rows": 300}))
    second, transport = watched(auto_job(tmp_path, prompts))

    assert first.summary["max_tokens"]["learnt"] == 320
    assert set(transport.sizes) == {320}
    assert second.summary["resumed"] == 300


def test_what_was_learnt_is_read_from_the_log_of_a_run_that_was_stopped(tmp_path):
    prompts = asking(*[60] * 600)
    quota = {"tokens_per_minute": 60_000}
    stopped = auto_job(tmp_path, prompts, quota=quota, limits={"deadline": "50s"})
    first, _ = watched(stopped)

    assert first.code == 3
    assert 99 < first.summary["rows"] < 600
    assert not list((stopped.output.path / "data").iterdir())

    second, transport = watched(auto_job(tmp_path, prompts))

    assert set(transport.sizes) == {320}
    assert second.code == 0


def test_answers_that_the_ceiling_cut_count_as_that_long_in_the_next_start(tmp_path):
    prompts = asking(*[5_000] * 300)
    generation = {**AUTO, "max_tokens_ceiling": 1_000}
    watched(auto_job(tmp_path, prompts, generation=generation, limits={"rows": 150, "max_failed": 1.0}))
    second, transport = watched(auto_job(tmp_path, prompts, generation=generation, limits={"max_failed": 1.0}))

    assert second.summary["by_status"] == {"truncated": 300}
    assert set(transport.sizes) == {1_000}


# Identity


def test_what_was_learnt_is_no_part_of_the_identity(tmp_path):
    first = rehearse(auto_job(tmp_path, asking(*[60] * 300), limits={"rows": 200}))
    manifest = json.loads((first.spec.output.path / "manifest.json").read_text())

    assert manifest["identity"]["generation.max_tokens"] == 64_000
    assert "320" not in json.dumps(manifest["identity"])


def test_another_ceiling_is_refused_by_its_name(tmp_path):
    rehearse(auto_job(tmp_path, asking(*[60] * 20), limits={"rows": 10}))
    other = auto_job(tmp_path, asking(*[60] * 20), generation={**AUTO, "max_tokens_ceiling": 4_096})

    with pytest.raises(InputError, match=r"generation\.max_tokens: was 64000, is 4096 .*max_tokens_ceiling"):
        rehearse(other)


@pytest.mark.parametrize("begins_fixed", [True, False])
def test_a_fixed_number_and_auto_with_that_ceiling_go_on_with_each_other(tmp_path, begins_fixed):
    # Neither gives an answer of more than 500 tokens, and both give the whole of any shorter one.
    fixed, learnt = {"max_tokens": 500, "max_tokens_ceiling": None}, {**AUTO, "max_tokens_ceiling": 500}
    prompts = asking(*[60] * 20)
    first = rehearse(auto_job(tmp_path, prompts, generation=fixed if begins_fixed else learnt, limits={"rows": 10}))
    second = rehearse(auto_job(tmp_path, prompts, generation=learnt if begins_fixed else fixed), first.transport)

    assert (second.code, second.summary["resumed"], second.calls) == (0, 10, 20)


# Case h of the issue: a ceiling of 64,000 on a sliding minute, answers of 60 tokens

SLIDING = {"tpm": 200_000, "window": "sliding", "rtt_ms": 50, "latency_s": 0.6, "latency_per_token_s": 0.01}
BEST = {"max_tokens": 300, "max_tokens_ceiling": None}  # the fastest of 60, 64, 128, 256, 300, 320, 400, 512 and 1,024


def at_the_quota(folder, generation):
    folder.mkdir()
    prompts = [f"{row}: " + "word " * 40 + "[[output_tokens=60]]" for row in range(1_500)]
    spec = auto_job(folder, prompts, generation=generation, quota={"tokens_per_minute": 200_000}, emulator=SLIDING)
    ended = rehearse(spec)
    assert ended.summary["by_status"] == {"ok": 1_500}
    return ended


def test_auto_is_as_fast_as_the_best_number_and_much_faster_than_its_ceiling(tmp_path):
    auto = at_the_quota(tmp_path / "auto", AUTO)
    best = at_the_quota(tmp_path / "best", BEST)
    ceiling = at_the_quota(tmp_path / "ceiling", {"max_tokens": 64_000, "max_tokens_ceiling": None})

    assert auto.wall_s * 4 <= ceiling.wall_s
    assert auto.wall_s <= 1.10 * best.wall_s
    assert auto.stats["throttled"] <= 0.02 * 1_500
    assert sent_again(auto)["share"] <= 0.02


# What the summary says


def test_the_summary_says_what_was_learnt_and_what_cut_answers_cost(tmp_path):
    ended, _ = watched(auto_job(tmp_path, asking(700, *[60] * 299)))
    told = ended.summary["max_tokens"]

    assert (told["set"], told["ceiling"], told["answers"]) == ("auto", 64_000, 300)
    assert (told["longest_answer"], told["p99_answer"], told["advice"]) == (700, 60, None)
    assert told["sent_again"]["rows"] == 1
    assert told["sent_again"]["share"] == 0.0033  # 1 / 300
    assert 512 * 5.5e-6 < told["sent_again"]["usd"] < 512 * 5.5e-6 + 0.0001
    page = summary_text(ended.summary)
    assert "at most 700 tokens, 99 % of them ≤ 60; max_tokens learnt: " in page
    assert "1 rows (0.3 %) sent again, $0.0028" in page


def test_the_summary_of_a_large_fixed_number_says_what_a_smaller_one_would_hold_less(tmp_path):
    # 91 × 1.25 = 114 and 5 × 60.3 = 302: the next power of two is 512. A row's input is about 22 tokens.
    generation = {"max_tokens": 4_096, "max_tokens_ceiling": None}
    ended = rehearse(auto_job(tmp_path, asking(91, *[60] * 99), generation=generation))
    advice = ended.summary["max_tokens"]["advice"]

    assert advice.startswith("answers used at most 91 of 4,096 max_tokens (99 % of them ≤ 60): max_tokens = 512 would")
    assert "hold 87 % less of the quota" in advice  # (4,096 - 512) / (4,096 + 18)
    assert 'max_tokens = "auto" with max_tokens_ceiling = 4096' in advice
    assert advice in summary_text(ended.summary)


@pytest.mark.parametrize(("max_tokens", "rows"), [(512, 100), (4_096, 19)])
def test_a_tight_number_or_a_few_answers_give_no_advice(tmp_path, max_tokens, rows):
    generation = {"max_tokens": max_tokens, "max_tokens_ceiling": None}
    ended = rehearse(auto_job(tmp_path, asking(*[60] * rows), generation=generation))

    assert ended.summary["max_tokens"]["advice"] is None
    assert "answers  " not in summary_text(ended.summary)


def test_truncated_answers_give_no_advice_to_allow_less(tmp_path):
    generation = {"max_tokens": 4_096, "max_tokens_ceiling": None}
    spec = auto_job(tmp_path, asking(5_000, *[60] * 99), generation=generation, limits={"max_failed": 1})

    assert rehearse(spec).summary["max_tokens"]["advice"] is None


def test_the_summary_says_how_far_the_estimates_were_off(tmp_path):
    seen: list[tuple[int, int]] = []

    class Counting(Watched):
        async def send(self, inference_id, source_region, request):
            answer = await super().send(inference_id, source_region, request)
            assert isinstance(answer, Completion)
            seen.append((request.input_tokens, answer.usage.input))
            return answer

    spec = auto_job(tmp_path, numbered(100, "Name a colour. [[output_tokens=60]]"))
    ended = rehearse(spec, Counting(spec.emulator))
    errors = [estimated / counted - 1 for estimated, counted in seen]
    told = ended.summary["estimates"]

    assert len(errors) == 100
    assert told["input_error_mean"] == pytest.approx(sum(errors) / 100, abs=0.0001)
    assert told["input_error_mean_abs"] == pytest.approx(sum(map(abs, errors)) / 100, abs=0.0001)
    assert "% off in a row" in summary_text(ended.summary)
