"""Lanes of one's own: application profiles, and accounts reached by another profile, each with its own pools."""

from pathlib import Path

import pytest

from batchrun.account.facts import Found, Profile, RegionFacts
from batchrun.api import RunOptions, run, verify
from batchrun.bedrock.card import load_card
from batchrun.errors import AccessError, JobError
from batchrun.lanes.lane import Lane, lane_of_ones_own
from batchrun.lanes.own import OwnLane
from batchrun.planning import plan
from tests.account.accounts import account, job_of
from tests.run.rehearsal import results

US_ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
THEIRS = "arn:aws:bedrock:us-east-1:222222222222:application-inference-profile/def456"
EAST = {"scopes": ["us"], "source_regions": ["us-east-1"]}
OTHER = {"accounts": {"AKIAOTHER": "222222222222"}}


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared AWS files with one profile, the other account's."""
    path = tmp_path / "credentials"
    path.write_text("[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


def lanes(planned):
    return {lane["inference_id"]: lane for lane in planned["lanes"]}


# What a lane of one's own is


def test_an_application_profile_draws_on_the_pool_of_what_it_copies(tmp_path):
    with account(profiles={OWN: "us"}) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={**EAST, "lane": [{"id": OWN}]}))

    assert lanes(planned)[OWN]["pool"] == "us-east-1/geo"
    assert lanes(planned)[OWN]["destination_regions"] == ["us-east-1", "us-east-2", "us-west-2"]
    assert [quota["pool"] for quota in planned["quotas"]] == ["us-east-1/geo"]


def test_a_copy_of_the_global_profile_draws_on_the_global_pool_at_its_price(tmp_path):
    with account(profiles={OWN: "global"}) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={"scopes": [], "lane": [{"id": OWN}]}))

    assert lanes(planned)[OWN]["pool"] == "us-east-1/global"
    assert list(planned["usd"]) == ["global"]


def test_another_accounts_pools_bear_its_number(tmp_path):
    with account(
        **OTHER, tpm=90_000, pools={"222222222222:us-east-1/geo": {"tpm": 5_000}}, profiles={THEIRS: "us"}
    ) as one:
        own = [{"id": THEIRS, "profile": "other"}, {"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
        planned = plan(job_of(tmp_path, one, routing={**EAST, "lane": own}))

    assert {quota["pool"]: quota["tokens_per_minute"] for quota in planned["quotas"]} == {
        "222222222222:us-east-1/geo": 5_000,
        "us-east-1/geo": 90_000,
    }


def test_a_profile_whose_account_nobody_tells_names_the_pool(tmp_path):
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
    quota = {"pools": {"other:us-east-1/geo": {"tokens_per_minute": 7_000}}}
    with account(**OTHER) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing={**EAST, "lane": own}, quota=quota))

    assert planned["quotas"][0]["pool"] == "other:us-east-1/geo"
    assert planned["quotas"][0]["tokens_per_minute"] == 7_000


def test_a_profile_of_the_jobs_own_account_draws_on_its_pools(tmp_path):
    """One quota counted twice would let twice as much out as Bedrock takes."""
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
    with account(tpm=40_000) as emulator:  # which knows no other account: both keys are of one
        planned = plan(job_of(tmp_path, emulator, routing={**EAST, "lane": own}))

    assert [lane["pool"] for lane in planned["lanes"]] == ["us-east-1/geo"] * 2
    assert [(quota["pool"], quota["tokens_per_minute"]) for quota in planned["quotas"]] == [("us-east-1/geo", 40_000)]


@pytest.mark.parametrize(
    ("number", "read", "pool"),
    [
        ("123456789012", True, "us-east-1/geo"),
        ("333333333333", True, "333333333333:us-east-1/geo"),
        ("123456789012", False, "123456789012:us-east-1/geo"),
    ],
)
def test_a_role_of_the_jobs_own_account_draws_on_its_pools_where_aws_tells_whose_they_are(number, read, pool):
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{US_ID}"
    profiles = {US_ID: Profile(US_ID, arn, "ACTIVE", ("us-east-1",), ("anthropic.claude-haiku-4-5-20251001-v1:0",))}
    found = Found({("", "us-east-1"): RegionFacts(profiles=profiles if read else None)})
    own = OwnLane(US_ID, "us-east-1", "role x", number, None)
    lane = lane_of_ones_own(load_card("claude-haiku-4-5"), own, found, shared_global_pool=False)

    assert isinstance(lane, Lane)
    assert (lane.pool, lane.access) == (pool, "role x")


def test_a_role_tells_its_account(tmp_path):
    role = "arn:aws:iam::333333333333:role/batchrun"
    own = [{"id": US_ID, "source_region": "us-east-1", "role_arn": role}]
    with account() as emulator:
        spec = job_of(tmp_path, emulator, routing={"scopes": [], "lane": own}, aws={"control_url": None})
        planned = plan(spec)

    assert planned["lanes"][0]["pool"] == "333333333333:us-east-1/geo"


def test_a_profile_of_another_model_is_refused(tmp_path):
    card = Path(__file__).parents[2] / "batchrun/bedrock/cards/claude-haiku-4-5.toml"
    other = card.read_text().replace("claude-haiku-4-5-20251001", "claude-haiku-9-20991231")
    (tmp_path / "other.toml").write_text(other)
    with (
        account(profiles={OWN: "us"}) as emulator,
        pytest.raises(JobError, match="it is a profile of anthropic"),
    ):
        plan(job_of(tmp_path, emulator, model={"card": "./other.toml"}, routing={"scopes": [], "lane": [{"id": OWN}]}))


# Residency


def test_with_a_residency_a_lane_that_may_run_anywhere_unknown_is_refused_by_name(tmp_path):
    routing = {**EAST, "residency": "us", "lane": [{"id": OWN, "scope": "us"}]}
    with account(profiles={OWN: "us"}, denied=["GetInferenceProfile"]) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing=routing))
    (refused,) = planned["refused_lanes"]

    assert refused["scope"] == OWN
    assert "where it may run is unknown" in refused["why"]
    assert any(line.startswith("GetInferenceProfile could not be read in us-east-1") for line in planned["warnings"])


def test_the_residency_is_held_against_what_the_profile_copies(tmp_path):
    routing = {**EAST, "residency": "us", "lane": [{"id": OWN}]}
    with account(profiles={OWN: "global"}) as emulator:
        planned = plan(job_of(tmp_path, emulator, routing=routing))
    (refused,) = planned["refused_lanes"]

    assert refused["why"] == "may run in any commercial Region, outside the residency"


def test_without_discovery_a_profile_is_priced_as_geographic_and_that_is_said(tmp_path):
    with account(profiles={OWN: "us"}) as emulator:
        planned = plan(
            job_of(tmp_path, emulator, routing={"scopes": [], "lane": [{"id": OWN}]}, aws={"control_url": None})
        )
        told = plan(
            job_of(
                tmp_path,
                emulator,
                routing={"scopes": [], "lane": [{"id": OWN, "scope": "global"}]},
                aws={"control_url": None},
            )
        )

    assert list(planned["usd"]) == ["geo"]
    assert planned["lanes"][0]["destination_regions"] == ["unknown Regions"]
    assert any("what " + OWN + " copies is not known" in line for line in planned["warnings"])
    assert (list(told["usd"]), told["lanes"][0]["pool"]) == (["global"], "us-east-1/global")


# Runs


def test_rows_go_to_both_accounts_and_each_is_metered_for_itself(tmp_path):
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
    prompts = [f"{number} [[output_tokens=2]]" for number in range(40)]
    with account(**OTHER, latency_s=0.02) as emulator:
        summary = run(job_of(tmp_path, emulator, prompts, routing={**EAST, "lane": own}), RunOptions())
        pools = emulator.stats()["pools"]

    assert (summary["exit_code"], summary["rows"]) == (0, 40)
    assert {name: book["answered"] > 0 for name, book in pools.items()} == {
        "us-east-1/geo": True,
        "222222222222:us-east-1/geo": True,
    }
    assert sum(book["answered"] for book in pools.values()) == 40
    assert {lane["pool"] for lane in summary["lanes"]} == {"other:us-east-1/geo", "us-east-1/geo"}


def test_an_account_without_credentials_closes_its_own_lanes_only(tmp_path):
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "nobody"}]
    prompts = [f"{number} [[output_tokens=2]]" for number in range(20)]
    with account() as emulator:
        spec = job_of(tmp_path, emulator, prompts, routing={**EAST, "lane": own})
        summary = run(spec, RunOptions())

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 20})
    assert any("the lanes of profile nobody are closed, the others go on" in note for note in summary["notes"])
    assert all(row["attempts"] >= 1 for row in results(spec))


def test_without_credentials_for_any_account_the_run_does_not_start(tmp_path):
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "nobody"}]
    with account() as emulator:
        summary_of = job_of(tmp_path, emulator, routing={"scopes": [], "lane": own})
        with pytest.raises(AccessError, match="nobody"):
            run(summary_of, RunOptions())


def test_a_bedrock_key_of_the_environment_is_not_taken_for_another_account(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "ABSKjob")
    own = [{"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
    with account(**OTHER) as emulator:
        run(job_of(tmp_path, emulator, routing={"scopes": [], "lane": own}), RunOptions())
        pools = emulator.stats()["pools"]

    assert list(pools) == ["222222222222:us-east-1/geo"]


def test_an_output_can_be_verified_although_nobody_tells_where_its_lane_runs(tmp_path):
    routing = {"scopes": [], "residency": "us", "lane": [{"id": OWN}]}
    with account(profiles={OWN: "us"}) as emulator:
        spec = job_of(tmp_path, emulator, routing=routing)
        summary = run(spec, RunOptions())

    assert summary["exit_code"] == 0
    assert verify(spec) == []


def test_expired_credentials_of_one_account_close_its_lanes_after_one_renewal(tmp_path):
    own = [{"id": US_ID, "source_region": "us-west-2", "profile": "other"}]
    outages = [{"region": "us-west-2", "kind": "ExpiredTokenException"}]
    prompts = [f"{number} [[output_tokens=2]]" for number in range(20)]
    with account(**OTHER, outages=outages) as emulator:
        summary = run(job_of(tmp_path, emulator, prompts, routing={**EAST, "lane": own}), RunOptions())

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 20})
    assert any("the lanes of profile other are closed" in note for note in summary["notes"])


def test_a_job_may_have_lanes_of_its_own_alone_over_http_too(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "ABSKjob")
    own = [{"id": OWN}, {"id": US_ID, "source_region": "us-east-1", "profile": "other"}]
    prompts = [f"{number} [[output_tokens=2]]" for number in range(20)]
    with account(**OTHER, profiles={OWN: "us"}, latency_s=0.02) as emulator:
        spec = job_of(
            tmp_path,
            emulator,
            prompts,
            routing={"scopes": None, "source_regions": None, "lane": own},
            model={"transport": "http"},
        )
        summary = run(spec, RunOptions())
        pools = emulator.stats()["pools"]

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 20})
    assert {name: book["answered"] > 0 for name, book in pools.items()} == {
        "us-east-1/geo": True,
        "222222222222:us-east-1/geo": True,
    }
