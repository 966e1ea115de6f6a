"""What the summary says of a run: what bounded it, and sums that agree with the emulator's books."""

import json
from io import StringIO

from batchrun.emulator.service import Bedrock
from batchrun.screen.summary import summary_text
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse

PLENTY = {"tokens_per_minute": 10_000_000}
FAST = {"tpm": 10_000_000, "latency_s": 0.5, "latency_per_token_s": 0}


def test_a_run_at_its_quota_is_bounded_by_quota(tmp_path):
    spec = job(tmp_path, numbered(100), quota={"tokens_per_minute": 6_000}, limits={"max_failed": 0.1})

    assert rehearse(spec).summary["bounded_by"] == "quota"


def test_a_run_with_few_calls_in_flight_is_bounded_by_them(tmp_path):
    limits = {"max_in_flight": 2, "max_failed": 0.1}
    spec = job(tmp_path, numbered(100), quota=PLENTY, limits=limits, emulator=FAST)
    ended = rehearse(spec)

    assert ended.summary["bounded_by"] == "in_flight"
    assert ended.transport.most_in_flight == 2
    assert 25 <= ended.wall_s <= 26  # 50 rounds of 0.5 s


def test_a_run_of_few_rows_is_bounded_by_latency(tmp_path):
    assert rehearse(job(tmp_path, numbered(3), quota=PLENTY, emulator=FAST)).summary["bounded_by"] == "latency"


def test_a_run_whose_reader_waits_for_one_slow_row_is_bounded_by_input(tmp_path):
    spec = job(
        tmp_path,
        ["[[latency_s=120]]", *numbered(80)],
        quota=PLENTY,
        limits={"max_failed": 0.1, "max_in_flight": 100},
        output={"rows_per_part": 1},
        emulator=FAST,
    )
    ended = rehearse(spec)

    assert ended.code == 0
    assert ended.summary["bounded_by"] == "input"


def test_the_share_of_the_quota_is_what_was_settled_of_what_time_gave(tmp_path):
    spec = job(tmp_path, numbered(200), quota={"tokens_per_minute": 12_000}, limits={"max_failed": 0.1})
    ended = rehearse(spec)
    (lane,) = ended.summary["lanes"]
    settled = ended.stats["pools"]["us-east-1/geo"]["settled_tokens"]

    assert abs(lane["quota_used"] - settled / (12_000 * (1 + ended.wall_s / 60))) < 0.001
    assert lane["quota_used"] > 0.8


def test_examples_name_the_commonest_errors_with_a_row_each(tmp_path):
    prompts = [*numbered(5), *numbered(3, "[[stop_reason=refusal]]"), "[[fault=ValidationException]]"]
    ended = rehearse(job(tmp_path, prompts))
    told = {(one["status"], one["error_code"]): one["rows"] for one in ended.summary["examples"]}

    assert told == {("refused", "refusal"): 3, ("unsendable", "ValidationException"): 1}
    assert ended.summary["examples"][0]["row"] in {5, 6, 7}
    assert ended.summary["examples"][1]["row"] == 8


def test_a_second_start_counts_the_whole_life_in_rows_and_dollars_and_its_own_in_lanes(tmp_path):
    first = rehearse(job(tmp_path, numbered(30), limits={"rows": 10}))
    second = rehearse(job(tmp_path, numbered(30)), first.transport)

    assert second.summary["rows"] == 30
    assert second.summary["usd"] > first.summary["usd"]
    assert sum(lane["calls"] for lane in second.summary["lanes"]) == 20
    assert second.summary["tokens"]["input"] == second.stats["paid_input_tokens"]


def test_the_status_file_and_the_summary_file_end_as_the_run_did(tmp_path):
    ended = rehearse(job(tmp_path, numbered(30), limits={"max_failed": 0.1}))
    status = json.loads((ended.spec.output.path / "status.json").read_text())

    assert json.loads((ended.spec.output.path / "summary.json").read_text()) == dict(ended.summary)
    assert (status["state"], status["rows"], status["rows_total"], status["in_flight"]) == ("finished", 30, 30, 0)


def test_a_run_that_stopped_says_so_in_the_status_file(tmp_path):
    spec = job(tmp_path, numbered(300), limits={"deadline": "10s"}, emulator={"latency_s": 5})
    ended = rehearse(spec, EmulatedTransport(Bedrock(spec.emulator)))
    status = json.loads((ended.spec.output.path / "status.json").read_text())

    assert ended.code == 3
    assert status["state"] == "stopped"


def test_a_screen_that_breaks_does_not_end_the_run(tmp_path):
    class Broken(StringIO):
        def write(self, text: str) -> int:
            del text
            raise BrokenPipeError(32, "Broken pipe")

    ended = rehearse(job(tmp_path, numbered(30), limits={"max_failed": 0.1}), screen=Broken())

    assert ended.code == 0
    assert any("progress" in note for note in ended.summary["notes"])


def test_a_pipe_gets_a_line_every_half_minute(tmp_path):
    screen = StringIO()
    spec = job(tmp_path, numbered(100), quota={"tokens_per_minute": 12_000}, limits={"max_failed": 0.1})
    ended = rehearse(spec, screen=screen)
    lines = screen.getvalue().splitlines()

    assert len(lines) == 1 + int(ended.wall_s // 30)
    assert all("/100 rows" in line and "quota tokens/min" in line for line in lines)


def test_the_page_says_that_the_answers_are_an_emulators(tmp_path):
    ended = rehearse(job(tmp_path, numbered(3)))

    assert "the answers are an emulator's" in summary_text(ended.summary)
    assert "the answers are an emulator's" not in summary_text({**ended.summary, "emulated": False})
