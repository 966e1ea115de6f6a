"""The shipped card against the text of AWS's model card, which lies beside this file as it was read."""

import re
from pathlib import Path

import pytest

from batchrun.bedrock.card import ANYWHERE, load_card
from batchrun.bedrock.image import MOST_BYTES, MOST_IMAGES, MOST_PX
from batchrun.errors import JobError
from batchrun.jobspec.generation import LEAST_THINKING

TEXT = (Path(__file__).parent / "model-card-claude-haiku-4-5.txt").read_text(encoding="utf-8")
CARD = load_card()
ROW = re.compile(r"^\| ([a-z]+-[a-z]+-\d) \([^|]*\) \| ([^|]+) \|$", re.MULTILINE)


def geo_table(name: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Read a geography's inference ID and table from the text."""
    section = re.search(rf"^Geo: {name}\n(.*?)(?=^Geo: |^Global inference details)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    inference_id = re.search(r"^Geo Inference ID: (\S+)$", section[1], re.MULTILINE)
    assert inference_id is not None
    rows = {
        source: tuple(re.findall(r"([a-z]+-[a-z]+-\d) \(", destinations))
        for source, destinations in ROW.findall(section[1])
    }
    return inference_id[1], rows


@pytest.mark.parametrize(("scope", "rows"), [("us", 5), ("eu", 8), ("au", 3)])
def test_each_geo_table_is_the_model_cards_row_by_row(scope: str, rows: int):
    inference_id, table = geo_table(scope.upper())

    assert len(table) == rows  # the text was understood
    assert CARD.scopes[scope].inference_id == inference_id
    assert dict(CARD.scopes[scope].sources) == table


def test_the_cards_geographies_are_all_there():
    assert {name.lower() for name in re.findall(r"^Geo: (\w+)$", TEXT, re.MULTILINE)} | {"global"} == set(CARD.scopes)


def test_model_ids_and_urls_are_the_model_cards():
    for endpoint, model_id in (("runtime", CARD.base_model_id), ("mantle", CARD.mantle_model_id)):
        url = CARD.facts["endpoint"][endpoint]["url"]
        assert f"| bedrock-{endpoint} | {model_id} | {url} |" in TEXT
    assert f"| {CARD.scopes['global'].inference_id} | See the AWS" in TEXT


def test_dates_are_the_model_cards():
    model = CARD.facts["model"]

    assert f"Model launch date: {model['launched']:%b %d, %Y}" in TEXT
    end = model["end_of_life_no_sooner_than"]
    assert f"Model EOL date: No sooner than {end.month}/{end.day}/{end.year}" in TEXT
    assert f"Model lifecycle: {model['lifecycle'].capitalize()}" in TEXT
    assert model["knowledge_cutoff"] == "2025-02"
    assert "Knowledge cutoff: Feb 2025" in TEXT


def test_context_and_output_limits_are_the_model_cards():
    assert f"Context window: {CARD.context_tokens // 1_000}K tokens" in TEXT
    assert f"Max output tokens: {CARD.max_output_tokens // 1_000}K" in TEXT


def test_the_caching_row_is_the_model_cards():
    caching = CARD.facts["caching"]
    words = {"5m": "5 minutes", "1h": "1 hour"}
    ttl = ", ".join(words[one] for one in caching["ttl"])
    *fields, last = caching["fields"]

    assert caching["supported"]
    assert (
        f"| Yes | {caching['min_tokens_per_checkpoint']:,} | {caching['max_checkpoints']} | {ttl} "
        f"| {', '.join(fields)}, and {last} |"
    ) in TEXT


def test_the_product_id_is_the_model_cards():
    assert f"Marketplace product ID:\n{CARD.facts['model']['marketplace_product_id']}\n" in TEXT


def test_the_tiers_are_those_that_the_model_card_names():
    tiers = CARD.facts["tiers"]

    assert {"default", "priority", "flex", "reserved"} == {*tiers["supported"], *tiers["unsupported"]}
    assert "| Standard | Priority | Flex | Reserved |" in TEXT


def test_global_may_run_anywhere_from_33_regions():
    assert len(CARD.scopes["global"].sources) == 33
    assert set(CARD.scopes["global"].sources.values()) == {ANYWHERE}


def test_every_source_of_a_geography_is_one_of_global_too():
    for scope in ("us", "eu", "au"):
        assert set(CARD.scopes[scope].sources) <= set(CARD.scopes["global"].sources)


def test_one_output_token_burns_five_quota_tokens_on_the_runtime_and_one_on_mantle():
    assert [CARD.burndown_of(f"us-east-1/{kind}") for kind in ("geo", "global", "mantle")] == [5, 5, 1]


def test_global_is_a_tenth_cheaper_than_a_geography():
    dear, cheap = CARD.prices["geo"], CARD.prices["global"]

    assert (cheap.input, cheap.output, dear.input, dear.output) == (1.0, 5.0, 1.1, 5.5)


def test_pools_are_named_by_source_region_and_kind():
    names = CARD.pool_names()

    assert len(names) == 33 + 5 + 8 + 3 + 5
    assert {"us-east-1/geo", "us-east-1/global", "sa-east-1/global", "us-east-1/mantle"} <= set(names)
    assert "sa-east-1/geo" not in names


@pytest.mark.parametrize(
    ("residency", "inside", "outside"),
    [
        ("us", ["us-east-1", "us-west-2"], ["ca-central-1", "us-gov-west-1"]),
        ("eu", ["eu-south-2", "eu-north-1"], ["eu-west-2", "eu-central-2"]),
        ("au", ["ap-southeast-2", "ap-southeast-4"], ["ap-southeast-1", "ap-southeast-6"]),
    ],
)
def test_a_residency_holds_the_regions_of_its_countries(residency: str, inside: list[str], outside: list[str]):
    assert all(CARD.inside(region, residency) for region in inside)
    assert not any(CARD.inside(region, residency) for region in outside)


def test_another_model_is_another_file(tmp_path: Path):
    shipped = Path(load_card.__code__.co_filename).parent / "cards" / "claude-haiku-4-5.toml"
    own = tmp_path / "own.toml"
    own.write_text(shipped.read_text(encoding="utf-8").replace('name = "claude-haiku-4-5"', 'name = "own"', 1))

    assert load_card("own.toml", tmp_path).name == "own"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[model]", "not a model card: KeyError 'quota'"),
        (b"model = [", "not a model card: TOMLDecodeError"),
        (b"model = 1\nquota = 1\nprices = 1", "not a model card: TypeError"),
        (b"\xff\xfe", "not a model card: not UTF-8"),
    ],
)
def test_a_file_that_is_no_card_is_an_error_that_names_it(tmp_path: Path, content: bytes, says: str):
    (tmp_path / "own.toml").write_bytes(content)

    with pytest.raises(JobError, match=says):
        load_card("own.toml", tmp_path)


def test_a_card_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path):
    with pytest.raises(JobError, match=r"not a shipped card \(claude-haiku-4-5\)"):
        load_card("claude-haiku-9", tmp_path)


def test_what_the_client_checks_is_what_the_card_says() -> None:
    limits = CARD.facts["limits"]

    assert (
        limits["images_per_request"],
        limits["image_bytes"],
        limits["image_px"],
    ) == (MOST_IMAGES, MOST_BYTES, MOST_PX)
    assert limits["min_thinking_tokens"] == LEAST_THINKING
