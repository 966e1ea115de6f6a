"""A probe sends rows spread over the input, keeps their answers, and foretells the bill with an honest interval."""

from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from batchrun.api import verify
from batchrun.jobspec import JobSpec
from batchrun.screen.plan import plan_text
from tests.cli.desk import Desk, lay, told
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

PLENTY = {"tokens_per_minute": 10_000_000}


def probing(folder: Path, prompts: Any, **changes: Any) -> JobSpec:
    """Return a job with plenty of quota, in parts of a hundred rows."""
    changes = {"quota": PLENTY, "output": {"rows_per_part": 100}, "generation": {"max_tokens": 4_096}, **changes}
    emulator = {"tpm": 10_000_000, **changes.pop("emulator", {})}
    return job(folder, prompts, emulator=emulator, **changes)


def mixed(rows: int, seed: int) -> list[str]:
    """Return prompts of 20 to 3,000 bytes; the emulator's answers are lognormal, of median 60 and sigma 0.6."""
    chance = Random(seed)
    return [f"{row} {seed} {'word ' * int(4 * chance.lognormvariate(2, 1))}"[:3_000] for row in range(rows)]


def answered(run: Rehearsal) -> list[int]:
    """Return the rows that were sent so far."""
    return sorted(run.transport.sends)


def test_rows_are_spread_over_the_input(tmp_path):
    run = rehearse(probing(tmp_path, numbered(5_000)), probe=200)
    rows = answered(run)

    assert run.code == 0
    assert len(rows) == 200
    assert rows[:4] == [48, 49, 50, 51]  # 50 stretches of 4 in the midst of 100 rows each
    assert rows[-4:] == [4_948, 4_949, 4_950, 4_951]
    assert {row // 100 for row in rows} == set(range(50))


def test_a_probe_is_no_finished_run(tmp_path):
    run = rehearse(probing(tmp_path, numbered(1_000)), probe=100)

    assert (run.code, run.succeeded) == (0, False)
    assert run.reason == "probed: 100 rows have their results; a run sends the others"


def test_what_was_probed_is_not_sent_again(tmp_path):
    spec = probing(tmp_path, numbered(1_000))
    probe = rehearse(spec, probe=100)
    run = rehearse(spec, probe.transport)

    assert (run.code, run.succeeded, run.summary["resumed"]) == (0, True, 100)
    assert run.stats["paid_calls"] == 1_000
    assert verify(spec) == []


def test_columns_carried_over_are_right_after_a_probe(tmp_path):
    table = pa.table({"text": numbered(500), "label": list(range(500))})
    spec = probing(tmp_path, table, input={"keep": ["label"]})
    rehearse(spec, probe=50)
    run = rehearse(spec)

    assert [row["label"] for row in run.rows()] == list(range(500))
    assert verify(spec) == []


def test_the_end_of_a_range_completes_no_range(tmp_path):
    # The stretch at the end of the only range is its last rows; those before it were answered by an earlier start.
    table = pa.table({"text": numbered(10), "label": list(range(10))})
    spec = probing(tmp_path, table, input={"keep": ["label"]}, output={"rows_per_part": 10}, limits={"rows": 10})
    rehearse(spec, probe=5)
    rehearse(spec, probe=9)
    rehearse(spec, probe=10)
    run = rehearse(spec)

    assert [row["label"] for row in run.rows()] == list(range(10))
    assert verify(spec) == []


def test_a_probe_again_sends_nothing_and_says_the_same(tmp_path):
    spec = probing(tmp_path, mixed(2_000, 1))
    first = rehearse(spec, probe=100)
    second = rehearse(spec, first.transport, probe=100)

    assert second.calls == 100
    assert second.summary["probe"]["rows"] == 100
    assert second.summary["probe"]["forecast"]["usd"] == pytest.approx(first.summary["probe"]["forecast"]["usd"])


def test_a_probe_of_many_small_ranges_opens_no_more_than_there_may_be(tmp_path):
    spec = probing(tmp_path, numbered(700), output={"rows_per_part": 7})
    first = rehearse(spec, probe=100)
    second = rehearse(spec, first.transport, probe=500)
    run = rehearse(spec, first.transport)

    assert (first.code, second.code, run.code) == (0, 0, 0)
    assert run.stats["paid_calls"] == 700
    assert verify(spec) == []


def test_a_probe_of_all_rows_is_the_run(tmp_path):
    run = rehearse(probing(tmp_path, numbered(30)), probe=100)

    assert (run.code, run.succeeded, run.summary["rows"]) == (0, True, 30)
    assert run.summary["probe"]["forecast"]["usd"] == pytest.approx(run.summary["usd"], abs=1e-6)
    assert verify(run.spec) == []


def test_max_cost_holds_for_a_probe(tmp_path):
    run = rehearse(probing(tmp_path, numbered(1_000), limits={"max_cost_usd": 0.05}), probe=500)

    assert run.code == 3
    assert "max_cost_usd" in run.reason
    assert 0 < run.summary["usd"] <= 0.05


def test_a_probe_with_more_failures_than_are_allowed_says_so_like_a_run(tmp_path):
    prompts = [f"{row} [[fault=ModelErrorException]]" for row in range(150)]
    run = rehearse(probing(tmp_path, prompts, limits={"max_failed": 0.1}, retry={"max_attempts": 1}), probe=100)

    assert run.code == 3
    assert "limits.max_failed" in run.reason or "all ended failed" in run.reason


def test_a_probe_whose_rows_fail_ends_with_exit_1(tmp_path):
    prompts = [f"{row} [[output_tokens=300]]" for row in range(500)]
    run = rehearse(probing(tmp_path, prompts, generation={"max_tokens": 100}, limits={"max_failed": 0.1}), probe=20)

    assert run.code == 1
    assert run.reason == "probed: 20 of 20 rows are not ok, above limits.max_failed = 0.1"


def foretold(folder: Path, prompts: list[str], rows: int, **changes: Any) -> tuple[dict[str, Any], float]:
    """Probe, run the rest, and return the forecast and the bill."""
    spec = probing(folder, prompts, **changes)
    probe = rehearse(spec, probe=rows)
    forecast: dict[str, Any] = probe.summary["probe"]["forecast"]
    return forecast, float(rehearse(spec, probe.transport).summary["usd"])


@pytest.mark.parametrize("seed", range(3))
def test_200_rows_are_within_five_percent_of_the_bill(tmp_path, seed):
    # Answers of 20 to 60 tokens deviate by 29 % of their mean: 0.29 / √200 = 2 %, and the input's share is less.
    chance = Random(seed)
    prompts = [f"{text} [[output_tokens={chance.randint(20, 60)}]]" for text in mixed(1_500, seed)]
    forecast, bill = foretold(tmp_path, prompts, 200)

    assert abs(forecast["usd"] / bill - 1) < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_of_answers_that_vary_more_the_interval_says_how_sure_it_is(tmp_path, seed):
    # Lognormal answers of sigma 0.6 deviate by 66 % of their mean: 0.66 / √200 = 4.7 %, 5 % is a matter of luck.
    forecast, bill = foretold(tmp_path, mixed(1_500, seed), 200)
    half = forecast["usd_high"] - forecast["usd"]

    assert 0.05 < half / bill < 0.12
    assert abs(forecast["usd"] - bill) < 1.5 * half  # three deviations
    assert 200 < forecast["rows_for_goal"] < 1_200


def test_enough_rows_come_within_five_percent_and_say_so(tmp_path):
    forecast, bill = foretold(tmp_path, mixed(2_000, 9), 1_000)

    assert forecast["rows_for_goal"] is None
    assert abs(forecast["usd"] / bill - 1) < 0.05


def test_two_price_classes_are_foretold_as_they_will_share_the_rows(tmp_path):
    # The probe fits into the cheaper pool; the job does not, and nearly a half of its rows go to the dearer one.
    routing = {"scopes": ["us", "global"], "source_regions": ["us-east-1"]}
    quota, emulator = {"tokens_per_minute": 15_000}, {"tpm": 15_000}
    changes = {"routing": routing, "quota": quota, "emulator": emulator, "generation": {"max_tokens": 100}}
    forecast, bill = foretold(tmp_path, numbered(600, "x [[output_tokens=50]]"), 20, **changes)

    assert forecast["usd"] == pytest.approx(bill, rel=0.02)


def test_with_dedupe_every_row_is_counted_as_if_it_were_sent(tmp_path):
    # How many rows ask the same a probe cannot know: what it foretells is the most.
    prompts = [f"{row % 20} [[output_tokens=50]]" for row in range(400)]
    once, _ = foretold(tmp_path, prompts, 50, generation={"temperature": 0.0}, dedupe=True)
    (tmp_path / "plain").mkdir()
    _, bill = foretold(tmp_path / "plain", prompts, 50, generation={"temperature": 0.0})

    # The 350 rows that are left count in full, of the 50 those that were paid.
    assert bill * 350 / 400 < once["usd"] < bill


# The command


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return lay(tmp_path, [f"Name fish {row}. [[output_tokens={5 + row % 3}]]" for row in range(40)])


def test_the_command_probes_and_plans(desk: Desk) -> None:
    result = desk.on_job("plan", "--probe", "10", "--json", "--quiet")
    planned = told(result)

    assert result.exit_code == 0
    assert planned["probe"]["rows"] == 10
    assert planned["expected"]["from"] == "10 earlier answers"
    assert "rows for $" in plan_text(planned)
    assert "the whole job: $" in plan_text(planned)


def test_the_command_ends_as_a_run_would(desk: Desk) -> None:
    result = desk.on_job("plan", "--probe", "10", "--quiet", "--set", "limits.max_cost_usd=0.000001")

    assert result.exit_code == 3
    assert "max_cost_usd" in result.stdout
