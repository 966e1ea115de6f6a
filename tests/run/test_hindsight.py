"""At its end a run says how wrong the plan was: the probe's, if there was one, or a sample's."""

from io import StringIO

import pyarrow as pa
import pytest

from batchrun.planning import plan
from batchrun.screen.summary import summary_text
from tests.run.rehearsal import job, numbered, rehearse

PLENTY = {"quota": {"tokens_per_minute": 10_000_000}, "emulator": {"tpm": 10_000_000}}


def test_a_run_compares_its_bill_with_what_a_plan_says(tmp_path):
    spec = job(tmp_path, numbered(50), **PLENTY)
    planned = plan(spec, count=False)
    run = rehearse(spec)
    told, billed = run.summary["plan"], run.summary["tokens"]["input"]

    assert told["input_tokens"] == planned["tokens"]["input"]
    assert told["input_error"] == pytest.approx(planned["tokens"]["input"] / billed - 1, abs=1e-4)
    assert told["usd_at_most"] == planned["usd"]["geo"]["at_most"]
    assert (told["from"], told["usd"], told["usd_error"]) == ("a sample of 50 rows", None, None)
    share = 100 * run.summary["usd"] / told["usd_at_most"]
    assert f"at most for one answer a row, of which the bill is {share:.0f} %; input tokens" in summary_text(
        run.summary
    )


def test_after_a_probe_its_forecast_is_what_counts(tmp_path):
    spec = job(tmp_path, numbered(400), **PLENTY)
    probe = rehearse(spec, probe=50)
    run = rehearse(spec, probe.transport)
    told, forecast = run.summary["plan"], probe.summary["forecast"]

    assert probe.summary["plan"] is None
    assert (told["from"], told["usd"]) == ("a probe of 50 rows", forecast["usd"])
    assert told["usd_error"] == pytest.approx(forecast["usd"] / run.summary["usd"] - 1, abs=1e-4)
    side = "above" if told["usd_error"] >= 0 else "below"
    said = f"{100 * abs(told['usd_error']):.1f} % {side} the bill"
    assert f"  plan      a probe of 50 rows: ${forecast['usd']:.4f} foretold, {said}" in summary_text(run.summary)


def test_a_forecast_outlives_a_start_that_stops_early(tmp_path):
    spec = job(tmp_path, numbered(400), **PLENTY)
    probe = rehearse(spec, probe=50)
    capped = job(tmp_path, numbered(400), limits={"max_cost_usd": 0.05}, **PLENTY)
    stopped = rehearse(capped, probe.transport)
    run = rehearse(spec, probe.transport)

    assert (stopped.code, stopped.summary["plan"]) == (3, None)
    assert run.summary["plan"]["from"] == "a probe of 50 rows"


def test_a_summary_that_cannot_be_read_is_no_forecast(tmp_path):
    spec = job(tmp_path, numbered(100), **PLENTY)
    probe = rehearse(spec, probe=50)
    (spec.output.path / "summary.json").write_text('["nothing of ours"]')

    assert rehearse(spec, probe.transport).summary["plan"]["from"] == "a sample of 100 rows"


def test_a_start_that_sends_nothing_compares_nothing(tmp_path):
    spec = job(tmp_path, numbered(5), **PLENTY)
    first = rehearse(spec)

    assert rehearse(spec, first.transport).summary["plan"] is None


def test_a_forecast_of_fewer_rows_is_not_compared_with_more(tmp_path):
    probe = rehearse(job(tmp_path, numbered(400), limits={"rows": 200}, **PLENTY), probe=50)
    run = rehearse(job(tmp_path, numbered(400), **PLENTY), probe.transport)

    assert run.summary["plan"]["from"] == "a sample of 400 rows"


def test_a_run_of_347_days_says_so_before_its_progress(tmp_path):
    screen = StringIO()
    texts = pa.table({"text": pa.repeat("x", 1_000_000)})
    spec = job(tmp_path, texts, quota={"requests_per_minute": 2}, limits={"deadline": "10s", "drain": 0})
    run = rehearse(spec, screen=screen)

    assert run.code == 3
    assert screen.getvalue().startswith("batchrun: at these quotas the job takes 347 days with requests_per_minute = 2")
    assert any("347 days" in note for note in run.summary["notes"])
