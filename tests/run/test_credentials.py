"""Credentials that end while a run is under way: read again, or the run parks, and no row is failed or paid for it."""

from collections.abc import Callable

import anyio
import pytest

from batchrun.bedrock.faults import Fault, classify
from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import SIX_REGIONS, job, numbered, rehearse

SIX = {"scopes": ["us"], "source_regions": SIX_REGIONS[:4]}
ENOUGH = {"tokens_per_minute": 600_000}
QUICK = {"tpm": 600_000, "latency_s": 0.5, "rtt_ms": 20}
EXPIRED = classify("ExpiredTokenException", 403, "The security token included in the request is expired")
BAD_KEY = classify("AccessDeniedException", 403, "Authentication failed: Please make sure your API Key is valid.")
UNKNOWN = classify("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
NO_STS = classify("CredentialsOutOfReach", None, "EndpointConnectionError: Could not connect to sts.amazonaws.com")
NO_SSO = classify("NoCredentials", None, "UnauthorizedSSOTokenError: The SSO session has expired or is invalid")
# Of four Regions, with calls in flight in each of them.
ROWS = 600
PROMPTS = numbered(ROWS, "Name a colour. [[output_tokens=20]]")


class Guarded(EmulatedTransport):
    """A Bedrock that looks at credentials first: `refusal` says by the time [s], the Region and the renewals so far."""

    def __init__(self, bedrock: Bedrock, refusal: Callable[[float, str, int], Fault | None], began_at_s: float = 0.0):
        super().__init__(bedrock, began_at_s=began_at_s)
        self._refusal = refusal
        self._first_s: float | None = None

    async def send(self, inference_id, source_region, request):
        if self._first_s is None:
            self._first_s = anyio.current_time()
        fault = self._refusal(anyio.current_time() - self._first_s, source_region, self.refreshed)
        if fault is None:
            return await super().send(inference_id, source_region, request)
        await anyio.sleep(0.02)
        return fault


def guarded(folder, refusal: Callable[[float, str, int], Fault | None], prompts=None, **changes):
    spec = job(folder, prompts or PROMPTS, **{"routing": SIX, "quota": ENOUGH, "emulator": QUICK, **changes})
    return rehearse(spec, Guarded(Bedrock(spec.emulator), refusal))


def again(ended):
    """Start the same command once more, with credentials that are good."""
    return rehearse(ended.spec, EmulatedTransport(ended.bedrock, began_at_s=ended.wall_s + 300))


def from_2_s(fault: Fault) -> Callable[[float, str, int], Fault | None]:
    return lambda at_s, *_: fault if at_s >= 2 else None


PARKED_BY = {"a session token": EXPIRED, "a Bedrock key": BAD_KEY, "an access key": UNKNOWN, "a sign-in": NO_SSO}


@pytest.mark.parametrize("fault", PARKED_BY.values(), ids=PARKED_BY)
def test_what_ends_in_every_region_at_once_parks_the_run_and_loses_nothing(tmp_path, fault):
    first = guarded(tmp_path, from_2_s(fault))
    second = again(first)

    assert first.code == 4
    assert 0 < first.summary["rows"] < ROWS
    assert first.summary["by_status"] == {"ok": first.summary["rows"]}  # none is failed for it
    assert (second.code, second.summary["by_status"]) == (0, {"ok": ROWS})
    assert second.summary["resumed"] == first.summary["rows"]
    assert second.stats["repeated_calls"] == 0


@pytest.mark.parametrize("fault", PARKED_BY.values(), ids=PARKED_BY)
def test_one_message_says_what_ended_and_what_to_do(tmp_path, fault):
    reason = guarded(tmp_path, from_2_s(fault)).reason

    assert reason.count(fault.message.rstrip(".")) == 1
    assert "\n" not in reason
    assert "run the same command again" in reason


@pytest.mark.parametrize(
    "fault", [EXPIRED, BAD_KEY, UNKNOWN], ids=["a session token", "a Bedrock key", "an access key"]
)
def test_credentials_are_read_again_once_before_a_run_parks(tmp_path, fault):
    assert guarded(tmp_path, from_2_s(fault)).transport.refreshed == 1


@pytest.mark.parametrize(
    "fault", [EXPIRED, BAD_KEY, UNKNOWN], ids=["a session token", "a Bedrock key", "an access key"]
)
def test_credentials_that_were_exchanged_meanwhile_are_taken_up(tmp_path, fault):
    def until_read_again(at_s: float, region: str, renewed: int) -> Fault | None:
        return fault if at_s >= 2 and not renewed else None

    ended = guarded(tmp_path, until_read_again)

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": ROWS})
    assert ended.transport.refreshed == 1
    assert ended.stats["repeated_calls"] == 0


@pytest.mark.parametrize("fault", [BAD_KEY, UNKNOWN], ids=["a Bedrock key", "an access key"])
def test_what_never_worked_in_a_region_is_the_regions_own_matter(tmp_path, fault):
    # A short-term Bedrock key works in the Region that it was made in; a Region may not be enabled.
    def elsewhere(at_s: float, region: str, renewed: int) -> Fault | None:
        return None if region == "us-east-1" else fault

    ended = guarded(tmp_path, elsewhere)

    assert ended.code == 0
    assert ended.transport.refreshed == 0
    assert {row["source_region"] for row in ended.rows()} == {"us-east-1"}


@pytest.mark.parametrize("fault", [BAD_KEY, UNKNOWN], ids=["a Bedrock key", "an access key"])
def test_a_region_that_is_lost_on_the_way_is_closed_after_one_renewal(tmp_path, fault):
    def lost_later(at_s: float, region: str, renewed: int) -> Fault | None:
        return fault if region == "us-east-1" and at_s >= 2 else None

    ended = guarded(tmp_path, lost_later)

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": ROWS})
    assert ended.transport.refreshed == 1
    assert ended.summary["faults"][fault.code] <= 2 * ended.transport.most_in_flight


def test_a_key_that_is_refused_everywhere_from_the_start_ends_the_run_after_few_calls(tmp_path):
    ended = guarded(tmp_path, lambda *_: BAD_KEY)

    assert ended.code == 4
    assert "API Key" in ended.reason
    assert ended.summary["rows"] == 0
    assert sum(ended.summary["faults"].values()) <= 40


def test_rows_that_back_off_when_credentials_end_are_not_failed(tmp_path):
    prompts = [f"{row} [[fault=InternalServerException*3]] Name a fish. [[output_tokens=20]]" for row in range(40)]
    changes = {"retry": {"max_attempts": 4, "budget": 1.0}, "limits": {"max_failed": 1.0}}
    first = guarded(tmp_path, from_2_s(EXPIRED), prompts, **changes)
    second = again(first)

    assert first.code == 4
    assert first.summary["faults"]["InternalServerException"] >= 40  # each has failed once at least
    assert set(first.summary["by_status"]) <= {"ok"}
    assert (second.code, second.summary["by_status"]) == (0, {"ok": 40})


def test_a_token_service_that_is_away_for_a_minute_only_delays_the_run(tmp_path):
    ended = guarded(tmp_path, lambda at_s, *_: NO_STS if 2 <= at_s < 62 else None)

    assert (ended.code, ended.summary["by_status"]) == (0, {"ok": ROWS})
    assert 62 < ended.wall_s < 62 + 60 + 30  # a lane is tried again after a minute at the latest


def test_a_token_service_that_stays_away_ends_the_run_resumably_and_is_named(tmp_path):
    first = guarded(tmp_path, from_2_s(NO_STS))

    assert first.code == 3
    assert "no row has ended for 15 minutes" in first.reason
    assert "sts.amazonaws.com" in first.reason
    assert again(first).code == 0


def test_a_signature_that_is_refused_makes_one_think_of_the_clock(tmp_path):
    skewed = classify("InvalidSignatureException", 403, "Signature expired: 20261103T115917Z is now earlier than 12:05")

    assert "clock" in guarded(tmp_path, lambda *_: skewed).reason
