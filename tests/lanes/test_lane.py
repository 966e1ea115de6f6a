"""Which lanes a job may use: scopes, source Regions, opt-in Regions and residency."""

import pytest

from batchrun.bedrock.card import load_card
from batchrun.errors import JobError
from batchrun.lanes.lane import Routing, every_lane, legal_lanes

CARD = load_card()


def names(routing: Routing) -> set[str]:
    return {lane.name for lane in legal_lanes(CARD, routing)[0]}


def refusals(routing: Routing) -> dict[str, str]:
    return {f"{one.scope} from {one.source_region}": one.why for one in legal_lanes(CARD, routing)[1]}


def test_the_card_has_a_lane_for_every_scope_and_source_region():
    assert len(every_lane(CARD)) == 5 + 8 + 3 + 33 + 5  # us, eu, au, global, mantle


def test_a_scope_brings_every_source_region_that_needs_no_opt_in():
    regions = ("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1")
    assert names(Routing(("us",))) == {f"us from {region}" for region in regions}
    regions = ("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3")
    assert names(Routing(("eu",))) == {f"eu from {region}" for region in regions}


def test_an_opt_in_region_is_used_only_when_named():
    assert "eu from eu-central-2" not in names(Routing(("eu",)))
    assert names(Routing(("eu",), source_regions=("eu-central-2",))) == {"eu from eu-central-2"}


def test_residency_us_refuses_the_canadian_source_by_the_name_of_the_region():
    routing = Routing(("us",), residency="us")

    assert names(routing) == {"us from us-east-1", "us from us-east-2", "us from us-west-1", "us from us-west-2"}
    assert refusals(routing) == {"us from ca-central-1": "may run in ca-central-1, outside the residency"}


def test_residency_us_refuses_global_everywhere():
    routing = Routing(("us", "global"), residency="us")

    assert all(name.startswith("us from ") for name in names(routing))
    refused = {name: why for name, why in refusals(routing).items() if name.startswith("global from ")}
    assert len(refused) == len(set(CARD.scopes["global"].sources) - CARD.opt_in_regions)
    assert set(refused.values()) == {"may run in any commercial Region, outside the residency"}


def test_residency_eu_refuses_london_and_zurich():
    regions = tuple(CARD.scopes["eu"].sources)
    routing = Routing(("eu",), source_regions=regions, residency="eu")

    assert refusals(routing) == {
        "eu from eu-west-2": "may run in eu-west-2, outside the residency",
        "eu from eu-central-2": "may run in eu-central-2, outside the residency",
    }
    assert len(names(routing)) == 6


def test_residency_au_refuses_new_zealand():
    routing = Routing(("au",), source_regions=tuple(CARD.scopes["au"].sources), residency="au")

    assert names(routing) == {"au from ap-southeast-2", "au from ap-southeast-4"}
    assert "ap-southeast-6" in refusals(routing)["au from ap-southeast-6"]


def test_a_residency_may_be_a_list_of_regions():
    three = ("us-east-1", "us-east-2", "us-west-2")

    assert names(Routing(("us",), residency=three)) == {"us from us-east-1", "us from us-east-2", "us from us-west-2"}
    assert refusals(Routing(("us",), residency=three))["us from us-west-1"].startswith("may run in us-west-1,")


def test_a_list_that_names_every_region_still_refuses_global():
    everywhere = tuple(CARD.scopes["global"].sources)

    with pytest.raises(JobError, match="any commercial Region"):
        legal_lanes(CARD, Routing(("global",), residency=everywhere))


def test_no_legal_lane_is_an_error_that_names_every_refusal():
    with pytest.raises(JobError) as refused:
        legal_lanes(CARD, Routing(("us",), source_regions=("ca-central-1", "us-west-1"), residency=("us-east-1",)))

    assert "us from ca-central-1: may run in ca-central-1, us-east-2, us-west-2" in str(refused.value)
    assert "us from us-west-1: may run in us-east-2, us-west-1, us-west-2" in str(refused.value)


def test_a_region_of_another_scope_is_refused_for_this_one():
    routing = Routing(("us", "eu"), source_regions=("us-east-1", "eu-west-1"))

    assert names(routing) == {"us from us-east-1", "eu from eu-west-1"}
    assert refusals(routing)["us from eu-west-1"] == (
        "us.anthropic.claude-haiku-4-5-20251001-v1:0 cannot be called from eu-west-1"
    )


@pytest.mark.parametrize(
    ("routing", "says"),
    [
        (Routing(("usa",)), "'usa' is no scope of claude-haiku-4-5; it has us, eu, au, global"),
        (Routing(("us",), source_regions=("us-east-9",)), "'us-east-9' is no source Region"),
        (Routing(("us",), residency="uk"), "the card knows us, eu, au, or a list of Regions"),
    ],
)
def test_an_unknown_name_is_an_error_that_says_what_there_is(routing: Routing, says: str):
    with pytest.raises(JobError, match=says):
        legal_lanes(CARD, routing)


def test_pools_are_named_by_source_region_and_kind():
    lanes, _ = legal_lanes(CARD, Routing(("us", "global"), source_regions=("us-east-1",)))

    assert [lane.pool for lane in lanes] == ["us-east-1/geo", "us-east-1/global"]


def test_a_shared_global_pool_is_one_for_all_source_regions():
    routing = Routing(("us", "global"), source_regions=("us-east-1", "us-east-2"), shared_global_pool=True)
    lanes, _ = legal_lanes(CARD, routing)

    assert {lane.pool for lane in lanes} == {"us-east-1/geo", "us-east-2/geo", "global"}


# mantle


def test_a_lane_of_mantle_runs_where_it_is_called_on_a_pool_of_its_own_at_the_global_price():
    lanes, _ = legal_lanes(CARD, Routing(mantle=True, source_regions=("us-east-1",)))
    (lane,) = lanes

    assert (lane.name, lane.endpoint, lane.inference_id) == (
        "mantle from us-east-1",
        "mantle",
        "anthropic.claude-haiku-4-5",
    )
    assert (lane.destinations, lane.pool, lane.price_class) == (("us-east-1",), "us-east-1/mantle", "global")


def test_mantle_is_called_in_every_region_of_the_card_that_needs_no_opt_in():
    regions = ("us-east-1", "eu-north-1", "eu-west-1", "ap-northeast-1")

    assert names(Routing(mantle=True)) == {f"mantle from {region}" for region in regions}


def test_residency_holds_for_a_region_of_mantle_itself():
    routing = Routing(mantle=True, residency="eu")

    assert names(routing) == {"mantle from eu-north-1", "mantle from eu-west-1"}
    assert refusals(routing)["mantle from us-east-1"] == "may run in us-east-1, outside the residency"


def test_a_region_without_mantle_is_an_error_that_says_which_have_it():
    with pytest.raises(JobError, match=r"'us-west-2' is no Region of mantle for .*; it has ap-northeast-1, "):
        legal_lanes(CARD, Routing(mantle=True, source_regions=("us-west-2",)))
