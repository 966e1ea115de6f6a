"""What each kind of fault does to the row, the lane and the run."""

import pytest

from batchrun.bedrock.faults import classify
from batchrun.emulator.service import Bedrock
from batchrun.errors import AccessError
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse

TWO_LANES = {"scopes": ["us"], "source_regions": ["us-east-1", "us-west-2"]}
FEW_MAY_FAIL = {"max_failed": 0.5}


def one_row(folder, text: str, **changes):
    """Run a job of nine plain rows and, as row 9, `text`."""
    return rehearse(job(folder, [*numbered(9), text], **{"limits": FEW_MAY_FAIL, **changes}))


def outage(region: str, kind: str, **when):
    return {"tpm": 60_000, "latency_s": 0.5, "rtt_ms": 20, "outages": [{"region": region, "kind": kind, **when}]}


# The row


@pytest.mark.parametrize(
    "kind", ["InternalServerException", "ServiceUnavailableException", "overloaded_error", "ModelNotReadyException"]
)
def test_a_fault_that_passes_is_tried_again_after_a_pause(tmp_path, kind):
    ended = one_row(tmp_path, f"[[fault={kind}*2]] Name a fish.")
    row = ended.row(9)

    assert row["status"] == "ok"
    assert row["attempts"] == 3
    assert row["error_code"] is None


def test_the_cost_of_a_row_is_that_of_its_answer_and_its_attempts_are_counted(tmp_path):
    ended = one_row(tmp_path, "[[fault=InternalServerException*2]] Name a fish.")
    row = ended.row(9)

    assert row["cost_usd"] == pytest.approx((1.1 * row["input_tokens"] + 5.5 * row["output_tokens"]) / 1e6)
    assert row["latency_s"] == pytest.approx(0.5)


def test_a_row_that_fails_every_time_ends_failed_with_the_error(tmp_path):
    ended = one_row(tmp_path, "[[fault=InternalServerException]] Name a fish.")
    row = ended.row(9)

    assert (row["status"], row["attempts"], ended.transport.sends[9]) == ("failed", 6, 6)
    assert row["error_code"] == "InternalServerException"
    assert "unexpected error" in row["error_message"]
    assert row["text"] is None


def test_max_attempts_is_what_the_job_says(tmp_path):
    ended = one_row(tmp_path, "[[fault=InternalServerException]]x", retry={"max_attempts": 2})

    assert ended.transport.sends[9] == 2


@pytest.mark.parametrize("kind", ["ModelTimeoutException", "ModelErrorException"])
def test_what_is_likely_the_rows_own_doing_is_tried_three_times(tmp_path, kind):
    ended = one_row(tmp_path, f"[[fault={kind}]] Name a fish.")

    assert ended.row(9)["status"] == "failed"
    assert ended.transport.sends[9] == 3


def test_a_row_that_bedrock_finds_invalid_is_unsendable_after_one_call(tmp_path):
    ended = one_row(tmp_path, "[[fault=ValidationException]] Name a fish.")
    row = ended.row(9)

    assert (row["status"], ended.transport.sends[9]) == ("unsendable", 1)
    assert row["error_code"] == "ValidationException"


def test_a_row_that_was_throttled_once_and_is_invalid_says_what_is_invalid(tmp_path):
    class Refusing(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            if request.row == 0 and not self.sends[0]:
                self.sends[0] += 1
                return classify("ThrottlingException", 429, "Too many tokens, please wait before trying again.")
            return await super().send(inference_id, source_region, request)

    spec = job(tmp_path, ["[[fault=ValidationException]] Name a fish."], limits={"max_failed": 1})
    row = rehearse(spec, Refusing(Bedrock(spec.emulator))).row(0)

    assert (row["status"], row["error_code"]) == ("unsendable", "ValidationException")
    assert "never fits" not in row["error_message"]


@pytest.mark.parametrize("kind", ["garbage", "empty"])
@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_a_200_without_an_answer_is_a_fault_and_no_result(tmp_path, kind, api):
    ended = one_row(tmp_path, f"[[fault={kind}]] Name a fish.", model={"api": api})
    row = ended.row(9)

    assert row["status"] == "failed"
    assert row["error_code"] == "MalformedAnswer"
    assert row["text"] is None


def test_a_200_without_an_answer_is_tried_again(tmp_path):
    ended = one_row(tmp_path, "[[fault=empty*1]] Name a fish.")

    assert ended.row(9)["status"] == "ok"


@pytest.mark.parametrize("kind", ["reset", "cut"])
def test_a_lost_connection_is_tried_again_and_may_have_been_paid(tmp_path, kind):
    ended = one_row(tmp_path, f"[[fault={kind}*1]] Name a fish.")

    assert ended.row(9)["status"] == "ok"
    assert ended.summary["faults"] == {"ConnectionLost": 1}
    assert ended.stats["repeated_calls"] == 1


def test_a_call_that_hangs_is_given_up_and_tried_again(tmp_path):
    ended = one_row(tmp_path, "[[fault=hang*1]] Name a fish.")

    assert ended.row(9)["status"] == "ok"
    assert ended.row(9)["attempts"] == 2
    assert 60 < ended.wall_s < 120


@pytest.mark.parametrize(("reason", "status"), [("refusal", "refused"), ("guardrail_intervened", "refused")])
def test_a_refusal_keeps_its_text(tmp_path, reason, status):
    ended = one_row(tmp_path, f"[[stop_reason={reason}]] Name a fish.")
    row = ended.row(9)

    assert (row["status"], row["stop_reason"], row["attempts"]) == (status, reason, 1)
    assert row["text"].startswith("[emulated]")
    assert row["cost_usd"] > 0


def test_an_answer_cut_at_max_tokens_is_truncated_and_keeps_its_text(tmp_path):
    ended = one_row(tmp_path, "[[output_tokens=500]] Name a fish.")
    row = ended.row(9)

    assert (row["status"], row["stop_reason"], row["output_tokens"]) == ("truncated", "max_tokens", 200)
    assert len(row["text"].split()) == 200


def test_back_off_holds_no_slot(tmp_path):
    # One call at a time: were the slot held through the pauses, the nine rows behind would wait for them.
    prompts = ["[[fault=InternalServerException*4]] Name a fish.", *numbered(9)]
    ended = rehearse(job(tmp_path, prompts, limits={"max_in_flight": 1}))
    finished_at = {row["row"]: row["finished_at"] for row in ended.rows()}

    assert ended.row(0)["attempts"] == 5
    assert sum(finished_at[row] < finished_at[0] for row in range(1, 10)) >= 4
    assert ended.transport.most_in_flight == 1


# The lane


def test_the_rows_of_a_dead_region_go_elsewhere(tmp_path):
    emulator = outage("us-east-1", "ServiceUnavailableException")
    ended = rehearse(job(tmp_path, numbered(150), routing=TWO_LANES, limits={"max_failed": 0.1}, emulator=emulator))
    dead = next(lane for lane in ended.summary["lanes"] if lane["source_region"] == "us-east-1")

    assert ended.code == 0
    assert dead["ok"] == 0
    assert dead["calls"] <= 40  # a shut breaker tries again ever more rarely, one call at a time


def test_a_region_that_comes_back_is_used_again(tmp_path):
    emulator = outage("us-east-1", "ServiceUnavailableException", to_s=30)
    spec = job(tmp_path, numbered(600), routing=TWO_LANES, limits={"max_failed": 0.1}, emulator=emulator)
    ended = rehearse(spec)
    lane = next(lane for lane in ended.summary["lanes"] if lane["source_region"] == "us-east-1")

    assert ended.code == 0
    assert lane["ok"] > 100


@pytest.mark.parametrize("kind", ["UnrecognizedClientException", "InvalidClientTokenId"])
def test_a_region_that_is_not_enabled_closes_its_own_lanes_only(tmp_path, kind):
    routing = {"scopes": ["us", "global"], "source_regions": ["us-east-1", "us-west-2"]}
    emulator = outage("us-east-1", kind)
    ended = rehearse(job(tmp_path, numbered(100), routing=routing, limits={"max_failed": 0.1}, emulator=emulator))
    calls = sum(lane["calls"] for lane in ended.summary["lanes"] if lane["source_region"] == "us-east-1")

    assert ended.code == 0
    assert calls <= ended.transport.most_in_flight  # those that were out when the first came back


def test_every_region_not_enabled_ends_the_run_with_exit_4(tmp_path):
    ended = rehearse(job(tmp_path, numbered(100), emulator=outage("us-east-1", "UnrecognizedClientException")))

    assert ended.code == 4
    assert "UnrecognizedClientException" in ended.reason
    assert ended.calls <= 20


@pytest.mark.parametrize("kind", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_lane_without_access_is_closed_after_the_calls_that_are_out(tmp_path, kind):
    limits = {"max_in_flight": 1, "max_failed": 0.1}
    emulator = outage("us-east-1", kind)
    ended = rehearse(job(tmp_path, numbered(50), routing=TWO_LANES, limits=limits, emulator=emulator))
    denied = next(lane for lane in ended.summary["lanes"] if lane["source_region"] == "us-east-1")

    assert ended.code == 0
    assert (denied["calls"], denied["faults"]) == (1, 1)
    assert all(row["source_region"] == "us-west-2" for row in ended.rows())


def test_access_denied_on_every_lane_ends_the_run_with_exit_4_after_few_calls(tmp_path):
    ended = rehearse(job(tmp_path, numbered(500), emulator=outage("us-east-1", "AccessDeniedException")))

    assert ended.code == 4
    assert "AccessDeniedException" in ended.reason
    assert ended.calls <= 20
    assert ended.summary["rows"] == 0


def test_some_lanes_closed_and_the_rest_without_quota_is_no_matter_of_access(tmp_path):
    quota = {"pools": {"us-west-2/geo": {"tokens_per_minute": 0}}}
    emulator = outage("us-east-1", "AccessDeniedException")
    ended = rehearse(job(tmp_path, numbered(50), routing=TWO_LANES, quota=quota, emulator=emulator))

    assert ended.code == 3
    assert "AccessDeniedException" in ended.reason
    assert "its quota is 0" in ended.reason


def test_another_quota_of_the_account_parks_the_pool(tmp_path):
    emulator = outage("us-east-1", "ServiceQuotaExceededException", to_s=100)
    spec = job(tmp_path, numbered(60), routing=TWO_LANES, limits={"max_failed": 0.1}, emulator=emulator)
    ended = rehearse(spec)

    assert ended.code == 0
    assert {row["source_region"] for row in ended.rows()} == {"us-west-2"}


# The run


def test_the_use_case_form_ends_the_run_with_exit_4(tmp_path):
    ended = rehearse(job(tmp_path, numbered(200), routing=TWO_LANES, emulator=outage("us-east-1", "FTUFormNotFilled")))

    assert ended.code == 4
    assert "use case" in ended.reason
    assert ended.calls <= ended.transport.most_in_flight + 5


def test_an_expired_token_is_refreshed_once_and_the_run_goes_on(tmp_path):
    spec = job(tmp_path, numbered(300), limits={"max_failed": 0.1}, emulator={"tpm": 60_000, "rtt_ms": 20})
    ended = rehearse(spec, EmulatedTransport(Bedrock(spec.emulator), expire_at_s=[2.0, 32.0]))

    assert ended.code == 0
    assert ended.transport.refreshed == 2  # one for each time, whatever the number of calls that were refused
    assert all(row["attempts"] <= 2 for row in ended.rows())


def test_a_token_that_is_expired_after_the_refresh_too_ends_the_run_resumably(tmp_path):
    emulator = outage("us-east-1", "ExpiredTokenException", from_s=2, to_s=200)
    spec = job(tmp_path, numbered(300), limits={"max_failed": 0.1}, emulator=emulator)
    first = rehearse(spec)
    second = rehearse(spec, EmulatedTransport(first.bedrock, began_at_s=300))

    assert first.code == 4
    assert "ExpiredTokenException" in first.reason
    assert first.transport.refreshed == 1
    assert 0 < first.summary["rows"] < 300
    assert second.code == 0
    assert second.summary["resumed"] == first.summary["rows"]
    assert second.stats["repeated_calls"] == 0


def test_credentials_that_cannot_be_read_again_end_the_run_with_exit_4(tmp_path):
    class Lost(EmulatedTransport):
        async def refresh(self):
            raise AccessError("no AWS credentials: the profile has gone")

    spec = job(tmp_path, numbered(100), limits={"max_failed": 0.1})
    ended = rehearse(spec, Lost(Bedrock(spec.emulator), expire_at_s=[0.4]))

    assert ended.code == 4
    assert "the profile has gone" in ended.reason


def test_credentials_that_cannot_be_had_for_a_call_end_the_run_with_exit_4(tmp_path):
    class Locked(EmulatedTransport):
        async def send(self, *_call):
            raise AccessError("aws.role_arn: no AWS credentials to assume it with")

    spec = job(tmp_path, numbered(10))
    ended = rehearse(spec, Locked(Bedrock(spec.emulator)))

    assert ended.code == 4
    assert "aws.role_arn" in ended.reason


def test_faults_are_counted_by_code(tmp_path):
    prompts = [
        *numbered(10),
        *(f"{number} [[fault=InternalServerException*1]]" for number in range(4)),
        "[[fault=cut*2]]",
    ]
    ended = rehearse(job(tmp_path, prompts))

    assert ended.summary["faults"] == {"InternalServerException": 4, "ConnectionLost": 2}
    assert sum(lane["faults"] for lane in ended.summary["lanes"]) == 6
