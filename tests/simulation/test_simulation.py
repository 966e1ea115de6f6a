"""The simulation itself: its transport is the emulator's, its runs are the same every time, its table says what is."""

from dataclasses import replace

import pytest

from batchrun.bedrock.card import load_card
from batchrun.emulator.service import Bedrock
from batchrun.records import Completion
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import BEGAN, job, rehearse
from tests.simulation.cases import CASES, METERS, Cell, Target
from tests.simulation.load import Load, SimulatedSource, Size
from tests.simulation.report import lines
from tests.simulation.run import Result, refusal, run_job, simulate
from tests.simulation.transport import SimulatedTransport


class Watching(EmulatedTransport):
    """Remembers the size that the emulator gave to each row."""

    def __init__(self, bedrock):
        super().__init__(bedrock)
        self.sizes = {}

    async def send(self, inference_id, source_region, request):
        answer = await super().send(inference_id, source_region, request)
        if isinstance(answer, Completion):
            self.sizes[request.row] = Size(answer.usage.input, answer.usage.output)
        return answer


class Given(Load):
    """Sizes that somebody else has seen."""

    def __init__(self, sizes):
        super().__init__(len(sizes), 0)
        self._given = sizes

    def size(self, row):
        return self._given[row]


@pytest.mark.parametrize("meter", METERS)
def test_the_simulated_transport_meets_what_the_whole_emulator_would_do_to_it(tmp_path, meter):
    # The same job twice: over bodies and answers in JSON, and straight onto the meters. No answer is cut at 2,000.
    spec = job(
        tmp_path,
        [f"{row}: how many roads must a man walk down" for row in range(200)],
        generation={"max_tokens": 2_000},
        quota={"tokens_per_minute": 100_000},
        emulator={
            **METERS[meter],
            "edge_s": 20.0 if meter == "fixed, edge" else 0.0,
            "tpm": 50_000,
            "rtt_ms": 50,
            "latency_per_token_s": 0.01,
            "outages": [{"region": "us-east-1", "kind": "ServiceUnavailableException", "from_s": 5, "to_s": 7}],
            "tenants": [{"pool": "us-east-1/geo", "share": 0.3, "from_s": 3, "to_s": 30}],
        },
    )
    whole = rehearse(spec, watching := Watching(Bedrock(spec.emulator)))
    straight = SimulatedTransport(spec.emulator, load_card(), Given(watching.sizes))
    again = replace_output(spec, tmp_path)
    summary, makespan_s = run_job(again, straight, None, BEGAN)
    book = straight.books["us-east-1/geo"]

    assert summary["by_status"] == {"ok": 200}
    assert makespan_s == pytest.approx(whole.wall_s, abs=1e-3)
    told = whole.stats["pools"]["us-east-1/geo"]
    assert (book.calls, book.admitted, book.throttled, book.settled_tokens) == (
        told["calls"],
        told["admitted"],
        told["throttled"],
        told["settled_tokens"],
    )
    assert straight.calls == whole.calls
    assert straight.faults == whole.stats["faults"].get("ServiceUnavailableException", 0)


def replace_output(spec, folder):
    output = spec.output.model_copy(update={"path": folder / "again"})
    return spec.model_copy(update={"output": output})


def test_the_simulated_source_has_the_rows_that_are_asked_for():
    source = SimulatedSource(10_000)
    batches = list(source.read(["text"], 2_500, 10_000))
    texts = [text for one in batches for text in one.batch["text"].to_pylist()]

    assert (source.rows, batches[0].first_row, batches[-1].stop_row) == (10_000, 2_500, 10_000)
    assert len(texts) == 7_500
    assert texts[0] == next(iter(source.read(["text"], 2_500, 2_501))).batch["text"][0].as_py()


def test_a_load_is_that_of_the_quota_study():
    load = Load(9_000, seed=1)
    sizes = [load.size(row) for row in range(9_000)]
    outputs = sorted(size.output_tokens for size in sizes)

    assert sum(size.input_tokens for size in sizes) / 9_000 == pytest.approx(170, rel=0.02)
    assert outputs[4_500] == pytest.approx(60, abs=3)
    assert sum(outputs) / 9_000 == pytest.approx(72, abs=3)  # 60 × exp(0.6² ÷ 2)


def test_a_cell_of_the_table_ends_with_every_row_and_is_the_same_again():
    cell = Cell("b", "bucket 5 s", 50, 1)
    first, second = simulate(cell), simulate(cell)

    assert replace(first, cpu_s=0.0) == replace(second, cpu_s=0.0)
    assert (first.rows, first.lost) == (132, 0)
    # (132 × about 530 − 4,167) ÷ 833 a second: about 79 s.
    assert 70 < first.optimum_s < 90
    assert first.ratio > 0.95  # the last calls may leave debt behind
    assert line_of(first).text({}).split()[:3] == ["bucket", "5", "s"]


def test_seeds_differ():
    assert simulate(Cell("b", "sliding", 0, 1)).optimum_s != simulate(Cell("b", "sliding", 0, 2)).optimum_s


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_job_that_batchrun_takes(name):
    if why := refusal(name):
        assert "not built yet" in why  # nothing but what a later issue brings may be refused


def result(**changes):
    cell = Cell("a", "sliding", 0, 0)
    given = {"rows": 1_000, "makespan_s": 600.0, "optimum_a_s": 590.0, "optimum_b_s": 595.0, "fixed_s": None}
    counts = {"calls": 1_010, "throttled": 10, "faults": 0, "failed": 0, "missing": 0}
    return Result(cell=cell, notes=(), cpu_s=0.1, **{**given, **counts, **changes})


def line_of(*results):
    (line,) = lines(results, by_rtt=False)
    return line


def test_a_line_is_ok_only_if_its_worst_run_is():
    assert line_of(result(), result()).missed == []
    assert line_of(result(), result(makespan_s=620.0)).missed == ["makespan"]  # 620 ÷ 595 = 1.042
    assert line_of(result(), result(throttled=26, calls=1_026)).missed == ["throttled"]  # of 1,000 rows 25 calls
    assert line_of(result(), result(missing=1)).missed == ["rows lost"]
    assert line_of(result(), result(failed=1)).missed == ["rows lost"]


def test_a_run_is_compared_with_the_larger_optimum():
    assert result(optimum_a_s=500.0).ratio == pytest.approx(600 / 595)
    assert result(optimum_a_s=599.0).ratio == pytest.approx(600 / 599)


def test_refusals_are_allowed_by_share_or_by_number_whichever_is_more():
    target = Target(throttled_share=0.005, throttled_calls=25)

    assert target.throttled(1_000) == 25
    assert target.throttled(20_000) == 100
    assert Target().throttled(1_000) is None
