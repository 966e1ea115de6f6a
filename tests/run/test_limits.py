"""The limits of a run: dollars, time, rows, failures; each stops it so that the same command goes on."""

import os
import signal

import anyio
import pytest

from batchrun.emulator.service import Bedrock
from batchrun.records import Completion
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse

PLENTY = {"tpm": 10_000_000, "latency_s": 0.5, "latency_per_token_s": 0}


def paid_usd(bedrock: Bedrock) -> float:
    """What the emulator's books say at the us price [USD]."""
    return (1.1 * bedrock.books.input_tokens + 5.5 * bedrock.books.output_tokens) / 1e6


# Run-away stops


def test_a_run_stops_when_its_first_100_rows_all_fail_alike(tmp_path):
    spec = job(tmp_path, numbered(1_000, "[[fault=ValidationException]]"), limits={"max_failed": 1.0})
    ended = rehearse(spec)

    assert ended.code == 3
    assert "the first 100 rows all ended unsendable" in ended.reason
    assert "ValidationException" in ended.reason
    assert "row " in ended.reason
    assert ended.calls <= 150
    assert not ended.succeeded


def test_one_good_row_among_the_first_100_lets_a_run_go_on(tmp_path):
    prompts = ["[[latency_s=0]] Name a fish.", *numbered(150, "[[fault=ValidationException]]")]
    ended = rehearse(job(tmp_path, prompts, limits={"max_failed": 1.0}))

    assert ended.code == 0
    assert ended.summary["by_status"] == {"ok": 1, "unsendable": 150}


def test_a_run_stops_once_more_rows_failed_than_may(tmp_path):
    # Of 400 rows 40 may fail; every second one does, so the 41st failure comes near row 82.
    prompts = [f"{number} {'[[stop_reason=refusal]]' if number % 2 else ''}" for number in range(400)]
    ended = rehearse(job(tmp_path, prompts, limits={"max_failed": 0.1, "max_in_flight": 4}))

    assert ended.code == 3
    assert "41 of 400 rows are not ok already" in ended.reason
    assert ended.summary["rows"] < 100


def test_a_run_in_which_no_row_may_fail_ends_with_exit_1_and_no_success(tmp_path):
    prompts = [*numbered(20), "[[stop_reason=refusal]]"]
    ended = rehearse(job(tmp_path, prompts))

    assert ended.code == 1
    assert "1 of 21 rows are not ok" in ended.reason
    assert not ended.succeeded


def test_a_run_in_which_nothing_ends_for_a_quarter_of_an_hour_stops(tmp_path):
    # Every call hangs until it is given up: three tries of 68 s a row, were more allowed it would never end.
    spec = job(tmp_path, numbered(50, "[[latency_s=3000]]"), limits={"max_in_flight": 4})
    ended = rehearse(spec)

    assert ended.code == 3
    assert "no row has ended for 15 minutes" in ended.reason
    assert 900 <= ended.wall_s <= 1_100


# Dollars


def test_the_cost_cap_is_never_exceeded_and_a_higher_one_goes_on(tmp_path):
    prompts = numbered(200, "[[output_tokens=100]] Name a fish.")  # about $0.00057 each, $0.0012 at worst
    limits = {"max_cost_usd": 0.05}
    spec = job(tmp_path, prompts, quota={"tokens_per_minute": 10_000_000}, limits=limits, emulator=PLENTY)
    first = rehearse(spec)

    assert first.code == 3
    assert "limits.max_cost_usd = 0.05" in first.reason
    assert 0.04 < paid_usd(first.bedrock) <= 0.05
    assert first.summary["usd"] == pytest.approx(paid_usd(first.bedrock))

    higher = job(tmp_path, prompts, quota={"tokens_per_minute": 10_000_000}, emulator=PLENTY)
    second = rehearse(higher, first.transport)

    assert second.code == 0
    assert second.summary["usd"] == pytest.approx(paid_usd(first.bedrock))
    assert second.stats["repeated_calls"] == 0


def test_a_second_start_with_the_same_cap_spends_nothing_more_than_it(tmp_path):
    prompts = numbered(200, "[[output_tokens=100]] Name a fish.")
    spec = job(tmp_path, prompts, limits={"max_cost_usd": 0.05}, emulator=PLENTY)
    first = rehearse(spec)
    second = rehearse(spec, first.transport)

    assert second.code == 3
    assert paid_usd(first.bedrock) <= 0.05


def test_calls_of_unknown_end_count_against_the_cap(tmp_path):
    # Each cut call may have cost up to $0.0012: a cap of $0.05 has room for 41 of them, and an answer after each.
    prompts = numbered(60, "[[fault=cut*1]] [[output_tokens=1]]")
    quota = {"tokens_per_minute": 10_000_000}
    spec = job(tmp_path, prompts, quota=quota, limits={"max_cost_usd": 0.05}, emulator=PLENTY)
    first = rehearse(spec)
    calls = first.calls
    second = rehearse(spec, first.transport)

    assert first.code == second.code == 3
    assert 20 <= calls <= 82
    assert first.calls <= calls + 5  # what the log kept counts at the second start too


# Time


def test_the_deadline_stops_a_run_that_the_next_start_finishes(tmp_path):
    spec = job(tmp_path, numbered(400), limits={"deadline": "30s", "max_failed": 0.1})
    first = rehearse(spec)

    assert first.code == 3
    assert "limits.deadline: 30 s" in first.reason
    assert 30 <= first.wall_s < 35
    assert 0 < first.summary["rows"] < 400

    second = rehearse(job(tmp_path, numbered(400), limits={"max_failed": 0.1}), first.transport)

    assert second.code == 0
    assert second.summary["resumed"] == first.summary["rows"]
    assert [row["row"] for row in second.rows()] == list(range(400))
    assert second.stats["repeated_calls"] == 0


def test_a_stop_does_not_take_longer_than_the_calls_in_flight(tmp_path):
    # 64 ranges of one row are open, the reader waits for one to close, and nobody may wait for the reader.
    prompts = numbered(200, "[[latency_s=10]]")
    limits = {"deadline": "15s", "drain": "300s", "max_in_flight": 70}
    ended = rehearse(job(tmp_path, prompts, limits=limits, output={"rows_per_part": 1}, emulator=PLENTY))

    assert ended.code == 3
    assert ended.wall_s <= 15 + 10 + 0.1


def test_a_drain_that_is_too_short_cancels_what_is_left(tmp_path):
    limits = {"deadline": "5s", "drain": "2s", "max_in_flight": 10}
    ended = rehearse(job(tmp_path, numbered(30, "[[latency_s=60]]"), limits=limits))

    assert ended.code == 3
    assert ended.wall_s == pytest.approx(7, abs=0.1)
    assert ended.summary["rows"] == 0


def stopped_by(number: int, *more: int):
    """A transport whose fifth call brings a signal, and a second later more of them."""

    class Signalled(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            if self.sends.total() == 5:
                os.kill(os.getpid(), number)
                for another in more:
                    await anyio.sleep(1)
                    os.kill(os.getpid(), another)
            return await super().send(inference_id, source_region, request)

    return Signalled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_calls_in_flight_end_and_pays_for_none_twice(tmp_path, number):
    spec = job(tmp_path, numbered(100), limits={"max_in_flight": 4, "max_failed": 0.1})
    first = rehearse(spec, stopped_by(number)(Bedrock(spec.emulator)))
    second = rehearse(spec, EmulatedTransport(first.bedrock, began_at_s=60))

    assert first.code == 3
    assert number.name in first.reason
    assert 4 <= first.summary["rows"] <= 12
    assert second.code == 0
    assert second.stats["repeated_calls"] == 0
    assert not any("paid twice" in note for note in second.summary["notes"])


def test_a_second_signal_stops_at_once_and_the_calls_in_flight_are_sent_again(tmp_path):
    prompts = numbered(100, "[[latency_s=10]] [[output_tokens=9]]")
    spec = job(tmp_path, prompts, limits={"max_in_flight": 4})
    first = rehearse(spec, stopped_by(signal.SIGTERM, signal.SIGTERM)(Bedrock(spec.emulator)))
    rows = first.summary["rows"]
    second = rehearse(spec, EmulatedTransport(first.bedrock, began_at_s=60))

    assert first.code == 3
    assert first.wall_s < 21
    assert second.code == 0
    assert rows == second.summary["resumed"]
    assert [row["row"] for row in second.rows()] == list(range(100))
    assert any("may be paid twice" in note for note in second.summary["notes"])
    assert first.calls + second.calls <= 104


def test_throttled_rows_are_not_taken_for_calls_in_flight_by_the_next_start(tmp_path):
    # The pool's real quota is 0: every call is refused, none is out when the deadline comes.
    spec = job(tmp_path, numbered(50), limits={"deadline": "20s"}, emulator={"tpm": 0, "rtt_ms": 20})
    first = rehearse(spec)
    second = rehearse(spec, EmulatedTransport(first.bedrock))

    assert first.code == second.code == 3
    assert not any("in flight" in note for note in second.summary["notes"])


# Rows


def test_limited_runs_go_on_at_the_next_row(tmp_path):
    prompts = numbered(50)
    first = rehearse(job(tmp_path, prompts, limits={"rows": 20}))
    second = rehearse(job(tmp_path, prompts, limits={"rows": 35}), first.transport)
    third = rehearse(job(tmp_path, prompts), first.transport)

    assert [ended.summary["rows"] for ended in (first, second, third)] == [20, 35, 50]
    assert [ended.code for ended in (first, second, third)] == [0, 0, 0]
    assert [row["row"] for row in third.rows()] == list(range(50))
    assert third.calls == 50


def test_a_smaller_limit_than_last_time_sends_nothing(tmp_path):
    first = rehearse(job(tmp_path, numbered(50), limits={"rows": 20}))
    second = rehearse(job(tmp_path, numbered(50), limits={"rows": 10}), first.transport)

    assert (second.code, second.calls, second.summary["rows"]) == (0, 20, 20)


def test_a_finished_run_started_again_sends_nothing(tmp_path):
    spec = job(tmp_path, numbered(30))
    first = rehearse(spec)
    second = rehearse(spec, first.transport)

    assert (second.code, second.calls) == (0, 30)
    assert second.summary["resumed"] == 30
    assert second.summary["by_status"] == {"ok": 30}
    assert second.succeeded


def test_a_run_above_max_failed_says_so_again_until_max_failed_is_raised(tmp_path):
    prompts = [*numbered(20), "[[stop_reason=refusal]]"]
    first = rehearse(job(tmp_path, prompts))
    again = rehearse(job(tmp_path, prompts), first.transport)
    raised = rehearse(job(tmp_path, prompts, limits={"max_failed": 1}), first.transport)

    assert [first.code, again.code, raised.code] == [1, 1, 0]
    assert first.calls == 21
    assert raised.succeeded


def test_lowering_max_failed_takes_success_back(tmp_path):
    prompts = [*numbered(20), "[[stop_reason=refusal]]"]
    first = rehearse(job(tmp_path, prompts, limits={"max_failed": 1}))
    lowered = rehearse(job(tmp_path, prompts), first.transport)

    assert [first.code, lowered.code] == [0, 1]
    assert not lowered.succeeded


def test_no_rows_at_all_are_soon_done(tmp_path):
    ended = rehearse(job(tmp_path, []))

    assert (ended.code, ended.calls, ended.summary["rows"]) == (0, 0, 0)
    assert ended.succeeded


def test_success_is_removed_before_a_run_extends_the_output(tmp_path):
    first = rehearse(job(tmp_path, numbered(50), limits={"rows": 20}))
    second = rehearse(job(tmp_path, numbered(50), limits={"deadline": "0.1s"}), first.transport)

    assert first.code == 0
    assert second.code == 3
    assert not second.succeeded


# Bounds


def test_live_rows_stay_within_four_times_the_bound_in_flight(tmp_path):
    # Every row fails three times and backs off; were rows read on meanwhile, most of the 200 would be live.
    prompts = numbered(200, "[[fault=InternalServerException*3]] [[output_tokens=9]]")
    spec = job(tmp_path, prompts, retry={"budget": 1.0}, limits={"max_in_flight": 4}, emulator=PLENTY)
    live: set[int] = set()
    most_live = 0

    class Watched(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            nonlocal most_live
            live.add(request.row)
            most_live = max(most_live, len(live))
            answer = await super().send(inference_id, source_region, request)
            if isinstance(answer, Completion):
                live.remove(request.row)
            return answer

    ended = rehearse(spec, Watched(Bedrock(spec.emulator)))

    assert ended.code == 0
    assert 4 < most_live <= 4 * 4


def test_one_stuck_row_stalls_the_reader_at_64_open_ranges_and_no_further(tmp_path):
    prompts = ["[[latency_s=120]]", *numbered(400)]
    spec = job(
        tmp_path,
        prompts,
        quota={"tokens_per_minute": 10_000_000},
        output={"rows_per_part": 5},
        limits={"max_failed": 0.1},
        emulator=PLENTY,
    )
    most_open = 0

    class Watched(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            nonlocal most_open
            most_open = max(most_open, len(list((spec.output.path / "wal").glob("*.log"))))
            return await super().send(inference_id, source_region, request)

    ended = rehearse(spec, Watched(Bedrock(spec.emulator)))

    assert ended.code == 0
    assert most_open <= 64
    assert [row["row"] for row in ended.rows()] == list(range(401))


def test_many_stuck_rows_hold_the_reader_until_they_end(tmp_path):
    # The first row of every range takes 100 s: 64 ranges are open after a moment, and the other 16 come afterwards.
    prompts = [f"{number} {'[[latency_s=100]]' if number % 5 == 0 else ''}" for number in range(400)]
    spec = job(
        tmp_path,
        prompts,
        quota={"tokens_per_minute": 10_000_000},
        output={"rows_per_part": 5},
        limits={"max_failed": 0.1, "max_in_flight": 200},
        emulator=PLENTY,
    )
    ended = rehearse(spec)

    assert ended.code == 0
    assert 200 <= ended.wall_s < 210
