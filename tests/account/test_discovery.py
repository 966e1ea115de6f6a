"""What a job finds out about its account before it starts, what it does with that, and what it says where it cannot."""

import json
import os
import time
from base64 import b64encode
from pathlib import Path

import pytest

from batchrun.account.bearer import short_term_key
from batchrun.account.now import discover_now
from batchrun.api import RunOptions, run
from batchrun.bedrock.card import load_card
from batchrun.errors import JobError
from batchrun.planning import plan
from batchrun.screen.plan import plan_text
from tests.account.accounts import account, job_of

CARD = load_card()
EAST, WEST = "us-east-1/geo", "us-west-2/geo"


def sources(planned, number="tokens_per_minute"):
    """Each pool's number and where it came from."""
    return {quota["pool"]: (quota[number], quota["sources"][number]) for quota in planned["quotas"]}


def cached():
    folder = Path(os.environ["XDG_CACHE_HOME"]) / "batchrun"
    return sorted(folder.glob("*.json"))


# Quotas: where each number comes from


def test_the_applied_value_of_service_quotas_goes_before_the_default_and_the_default_before_the_card(tmp_path):
    with account(pools={EAST: {"tpm": 90_000}}) as emulator:
        planned = plan(job_of(tmp_path, emulator))

    assert sources(planned) == {
        EAST: (90_000, "Service Quotas: applied value (L-58BE175A)"),
        WEST: (5_000_000, "Service Quotas: AWS default (L-58BE175A)"),
    }
    assert "Service Quotas: applied value" in plan_text(planned)
    assert not any("card's default" in line for line in planned["warnings"])


def test_a_jobs_own_number_goes_before_that_of_service_quotas(tmp_path):
    with account(tpm=90_000, rpm=7) as emulator:
        planned = plan(job_of(tmp_path, emulator, quota={"tokens_per_minute": 50_000, "share": 0.5}))

    assert sources(planned)[EAST] == (25_000, "job: quota.tokens_per_minute × quota.share 0.5")
    assert sources(planned, "requests_per_minute")[EAST] == (
        3.5,
        "Service Quotas: applied value (L-CCA5DF70) × quota.share 0.5",
    )


def test_a_quota_with_another_code_is_found_by_its_name(tmp_path):
    with account(tpm=90_000, quota_codes=False) as emulator:
        number, source = sources(plan(job_of(tmp_path, emulator)))[EAST]

    assert number == 90_000
    assert source.startswith("Service Quotas: applied value (L-")
    assert "L-58BE175A" not in source


def test_a_pool_whose_day_quota_is_0_is_blocked_with_the_reason(tmp_path):
    with account(pools={EAST: {"tpd": 0}}) as emulator:
        planned = plan(job_of(tmp_path, emulator))

    assert (
        f"blocked by a quota of 0: {EAST}: its quota is 0: tokens_per_day (Service Quotas: applied value (L-6120CF2D))"
        in planned["warnings"]
    )


def test_the_shared_global_pool_has_the_least_of_its_regions(tmp_path):
    pools = {"us-east-1/global": {"tpm": 90_000}, "us-west-2/global": {"tpm": 80_000}}
    with account(pools=pools) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={"scopes": ["global"]}, quota={"global_pool": "shared"}))

    assert sources(planned) == {"global": (80_000, "Service Quotas: applied value (L-9A11C666)")}


def test_a_run_goes_by_the_quota_it_found(tmp_path):
    with account(pools={EAST: {"tpm": 90_000}, WEST: {"tpd": 0}}) as emulator:
        summary = run(job_of(tmp_path, emulator, ["a", "b", "c"]), RunOptions())
        pools = emulator.stats()["pools"]

    assert (summary["exit_code"], summary["rows"]) == (0, 3)
    assert list(pools) == [EAST]  # no call was spent on the pool that is blocked


# Profiles


def test_destinations_are_those_of_the_profile_and_a_difference_from_the_card_is_told(tmp_path):
    where = ["us-east-1", "us-west-1"]
    with account(destinations={"us-east-1/us": where}) as emulator:
        planned = plan(job_of(tmp_path, emulator))
    east, west = planned["lanes"]

    assert east["destination_regions"] == where
    assert west["destination_regions"] == ["us-east-1", "us-east-2", "us-west-2"]
    assert (
        "us from us-east-1: AWS says that it may run in us-west-1 too and not in us-east-2, us-west-2; the card says "
        "otherwise, AWS is believed"
    ) in planned["warnings"]


def test_residency_is_kept_by_the_profiles_destinations_not_the_cards(tmp_path):
    with account(destinations={"us-east-1/us": ["us-east-1", "ca-central-1"]}) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={"residency": "us"}))
    (refused,) = planned["refused_lanes"]

    assert [lane["source_region"] for lane in planned["lanes"]] == ["us-west-2"]
    assert (refused["source_region"], refused["why"]) == ("us-east-1", "may run in ca-central-1, outside the residency")


def test_a_global_profile_may_run_anywhere(tmp_path):
    with account() as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={"scopes": ["global"]}))

    assert [lane["destination_regions"] for lane in planned["lanes"]] == [["any commercial Region"]] * 2
    assert planned["warnings"] == ["aws.endpoint_url is set: the answers do not come from AWS, and the results say so"]


# Lifecycle


def test_a_model_that_is_legacy_or_past_its_end_is_warned_of(tmp_path):
    with account(lifecycle="LEGACY", end_of_life="2099-01-02T00:00:00Z") as emulator:
        legacy = plan(job_of(tmp_path, emulator))["warnings"]
    with account(end_of_life="2026-01-02T00:00:00Z") as emulator:
        ended = plan(job_of(tmp_path, emulator))["warnings"]

    where = "us-east-1 (end of life 2099-01-02), us-west-2 (end of life 2099-01-02)"
    assert f"claude-haiku-4-5 is LEGACY in {where}: it will be withdrawn, plan for its successor" in legacy
    assert any(line.startswith("claude-haiku-4-5 has reached its end of life on 2026-01-02") for line in ended)


# What cannot be read


def test_a_permission_that_is_missing_is_said_once_and_the_card_stands_in(tmp_path):
    denied = ["ListServiceQuotas", "ListAWSDefaultServiceQuotas"]
    with account(denied=denied) as emulator:
        planned = plan(job_of(tmp_path, emulator))
    said = [line for line in planned["warnings"] if line.startswith("ListServiceQuotas")]

    assert sources(planned)[EAST] == (5_000_000, "card default")
    assert len(said) == 1
    assert said[0].startswith(
        "ListServiceQuotas could not be read in us-east-1, us-west-2, so the account's own quotas are not known: "
        "AccessDeniedException: User: arn:aws:iam::123456789012:user/emulated is not authorized"
    )
    assert said[0].endswith("; allow servicequotas:ListServiceQuotas")


def test_with_the_applied_values_denied_the_defaults_are_taken_and_say_so(tmp_path):
    with account(tpm=90_000, denied=["ListServiceQuotas"]) as emulator:
        planned = plan(job_of(tmp_path, emulator))

    assert sources(planned)[EAST] == (5_000_000, "Service Quotas: AWS default (L-58BE175A)")
    assert any("account's own quotas are not known" in line for line in planned["warnings"])


def test_an_account_that_allows_nothing_is_no_reason_to_fail(tmp_path):
    denied = ["ListServiceQuotas", "ListAWSDefaultServiceQuotas", "ListInferenceProfiles", "ListFoundationModels"]
    with account(denied=denied) as emulator:
        summary = run(job_of(tmp_path, emulator), RunOptions())

    assert summary["exit_code"] == 0


def test_answers_that_do_not_come_are_given_up_after_two_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("batchrun.account.discover.ALL_S", 0.3)
    with account(control_latency_s=30) as emulator:
        began_s = time.monotonic()
        found = discover_now(job_of(tmp_path, emulator), CARD)
        took_s = time.monotonic() - began_s

    assert took_s < 10  # and not 30
    assert {one.code for one in found.unread} == {"NoAnswer"}
    assert found.quota("", "us-east-1", "geo_tokens_per_minute") is None


def test_nobody_at_the_control_url_is_said_and_no_reason_to_fail(tmp_path):
    with account() as emulator:
        spec = job_of(tmp_path, emulator, aws={"control_url": "http://127.0.0.1:9"})
        warnings = plan(spec)["warnings"]

    assert any("ListInferenceProfiles could not be read" in line and "127.0.0.1:9" in line for line in warnings)


def test_without_any_credentials_a_plan_says_that_nothing_was_read(tmp_path):
    with account() as emulator:
        spec = job_of(tmp_path, emulator, aws={"endpoint_url": None, "control_url": None})
    planned = plan(spec)

    assert "nothing is read from AWS: no AWS credentials: the environment" in plan_text(planned)
    assert sources(planned)[EAST] == (5_000_000, "card default")


def test_an_endpoint_of_ones_own_is_not_asked_and_the_plan_says_so(tmp_path):
    with account(tpm=5) as emulator:
        planned = plan(job_of(tmp_path, emulator, aws={"control_url": None}))

    assert sources(planned)[EAST] == (5_000_000, "card default")
    assert "nothing is read from AWS: aws.endpoint_url is set and aws.control_url is not" in plan_text(planned)


def test_discovery_can_be_switched_off(tmp_path):
    with account(tpm=5) as emulator:
        planned = plan(job_of(tmp_path, emulator, quota={"discover": False}))

    assert (planned["discovery"], sources(planned)[EAST][1]) == ("quota.discover = false", "card default")
    assert cached() == []


def test_the_emulator_inside_a_run_can_be_asked(tmp_path):
    with account() as emulator:
        aws = {"endpoint_url": "emulator", "control_url": "emulator"}
        spec = job_of(tmp_path, emulator, aws=aws, emulator={"tpm": 70_000})

    assert sources(plan(spec))[EAST][0] == 70_000
    assert cached() == []  # the next start's emulator may be set otherwise


# The day's cache


def test_what_was_read_is_not_asked_for_again_on_the_same_day(tmp_path):
    with account(tpm=90_000) as emulator:
        spec = job_of(tmp_path, emulator)
        plan(spec)
    # The emulator is gone: what is known now was kept.
    planned = plan(spec)

    assert sources(planned)[EAST] == (90_000, "Service Quotas: applied value (L-58BE175A)")
    assert len(cached()) == 2


def test_what_is_kept_names_no_key_and_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with account(tpm=90_000) as emulator:
        plan(job_of(tmp_path, emulator))
    texts = [path.name + path.read_text() for path in cached()]

    assert len(texts) == 2
    assert not any(secret in text for text in texts for secret in ("AKIDEXAMPLE", "hunter2"))
    assert cached()[0].parent.stat().st_mode & 0o077 == 0


def test_another_accounts_facts_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with account(tpm=90_000, accounts={"AKIAOTHER": "222222222222"}, pools={f"222222222222:{EAST}": {"tpm": 5}}) as one:
        found = []
        for key in ("AKIAFIRST", "AKIAOTHER"):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            found.append(sources(plan(job_of(tmp_path, one)))[EAST][0])

    assert found == [90_000, 5]


def test_facts_of_the_day_before_are_read_anew(tmp_path):
    with account(tpm=90_000) as emulator:
        plan(job_of(tmp_path, emulator))
        for path in cached():
            told = json.loads(path.read_text())
            told["read_at_s"] -= 86_400
            told["facts"]["quotas"] = {}
            path.write_text(json.dumps(told))
        planned = plan(job_of(tmp_path, emulator))

    assert sources(planned)[EAST][0] == 90_000


@pytest.mark.parametrize("junk", ["", "[]", '{"format": 1}', '{"format": 1, "read_at_s": 9e99, "facts": null}'])
def test_a_damaged_cache_is_as_good_as_none(tmp_path, junk):
    with account(tpm=90_000) as emulator:
        plan(job_of(tmp_path, emulator))
        for path in cached():
            path.write_text(junk)
        planned = plan(job_of(tmp_path, emulator))

    assert sources(planned)[EAST][0] == 90_000


def test_what_was_refused_is_asked_for_again(tmp_path):
    with account(denied=["ListServiceQuotas"]) as emulator:
        plan(job_of(tmp_path, emulator))
    kept = [json.loads(path.read_text())["facts"] for path in cached()]

    assert [facts["quotas"] for facts in kept] == [None, None]
    assert all(facts["profiles"] and facts["lifecycle"] for facts in kept)


def test_files_that_nobody_would_read_any_more_are_removed(tmp_path):
    with account(tpm=90_000) as emulator:
        plan(job_of(tmp_path, emulator))
        old, new = cached()
        os.utime(old, (time.time() - 90_000,) * 2)
        plan(job_of(tmp_path, emulator, routing={"source_regions": ["us-east-2"]}))

    assert old not in cached()
    assert new in cached()


def test_a_home_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with account(tpm=90_000) as emulator:
        assert sources(plan(job_of(tmp_path, emulator)))[EAST][0] == 90_000


@pytest.mark.anyio
async def test_a_plan_inside_an_event_loop_asks_too(tmp_path):
    with account(tpm=90_000) as emulator:
        assert sources(plan(job_of(tmp_path, emulator)))[EAST][0] == 90_000


# Bedrock API keys


def short_term(region, date="20991231T120000Z"):
    scope = f"AKIDEXAMPLE%2F20991231%2F{region}%2Fbedrock%2Faws4_request"
    url = (
        f"bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Credential={scope}&X-Amz-Date={date}"
        "&X-Amz-Expires=43200&X-Amz-Signature=x&Version=1"
    )
    return "bedrock-api-key-" + b64encode(url.encode()).decode()


def test_a_short_term_key_tells_its_region_and_its_end():
    key = short_term_key(short_term("eu-west-1", "20261122T000000Z"))

    assert key is not None
    assert (key.region, f"{key.ends_at:%d %H:%M}") == ("eu-west-1", "22 12:00")


@pytest.mark.parametrize("key", ["", "ABSKlong-term", "bedrock-api-key-%", "bedrock-api-key-aGk="])
def test_any_other_key_is_not_short_term(key):
    assert short_term_key(key) is None


def test_a_bedrock_key_alone_reads_profiles_but_no_quotas_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", short_term("us-east-1"))
    with account(tpm=90_000) as emulator:
        planned = plan(job_of(tmp_path, emulator))
    warnings = planned["warnings"]

    assert sources(planned)[EAST][1] == "card default"
    assert any(
        line.startswith("ListServiceQuotas could not be read") and line.endswith("it takes AWS credentials")
        for line in warnings
    )
    assert any(
        "short-term key of us-east-1 and works in that Region only: lanes of us-west-2" in line for line in warnings
    )
    assert not any(line.startswith("ListInferenceProfiles could not be read in us-east-1") for line in warnings)


def test_a_wrong_job_is_refused_before_anything_is_asked(tmp_path):
    with account() as emulator, pytest.raises(JobError, match="no legal lane"):
        plan(job_of(tmp_path, emulator, routing={"residency": ["eu-west-1"]}))

    assert cached() == []
