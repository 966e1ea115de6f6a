"""The [emulator] table is checked before anything starts, with messages that name what is wrong."""

import pytest
from pydantic import ValidationError

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"windows": "bucket"}, "windows"),
        ({"window": "week"}, "'bucket', 'fixed' or 'sliding'"),
        ({"tpm": -1}, "greater than or equal to 0"),
        ({"burst_s": 0}, "greater than 0"),
        ({"rtt_ms": -5}, "greater than or equal to 0"),
        ({"faults": {"ThrotlingException": 0.1}}, "no fault kind 'ThrotlingException'; there are AccessDenied"),
        ({"faults": {"reset": 1.5}}, "less than or equal to 1"),
        ({"faults": {"reset": 0.6, "cut": 0.6}}, "the shares add up to 1.2, above 1"),
        ({"outages": [{"region": "us-east-1", "kind": "flood"}]}, "no fault kind 'flood'"),
        ({"outages": [{"region": "us-east-1", "from_s": 5, "to_s": 5}]}, "to_s = 5 must be above from_s = 5"),
        ({"pools": {"us-east-1/geo": {"tpn": 5}}}, "tpn"),
        ({"window": "fixed", "edge_s": 60}, "less than 60"),
        ({"window": "sliding", "edge_s": 5}, "edge_s = 5 is for window = \"fixed\", not 'sliding'"),
        ({"global_pool": "one"}, "'per_region' or 'shared'"),
        ({"tenants": [{"share": 0.5}]}, "pool"),
        ({"tenants": [{"pool": "us-east-1/geo"}]}, "give tokens_per_minute or share, one of them"),
        ({"tenants": [{"pool": "us-east-1/geo", "share": 0.5, "tokens_per_minute": 5}]}, "one of them"),
        ({"tenants": [{"pool": "us-east-1/geo", "share": 1.5}]}, "less than or equal to 1"),
        ({"tenants": [{"pool": "us-east-1/geo", "share": 1, "from_s": 9, "to_s": 8}]}, "to_s = 8 must be above"),
    ],
)
def test_a_wrong_key_or_value_is_named(keys, words):
    with pytest.raises(ValidationError, match=words):
        EmulatorSpec(**keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"pools": {"us-east-1/geos": {"tpm": 5}}}, "no pool 'us-east-1/geos'; the card claude-haiku-4-5 has"),
        ({"outages": [{"region": "us-east-9"}]}, "no source Region 'us-east-9'"),
        ({"tenants": [{"pool": "us-east-1/geos", "share": 0.5}]}, "emulator.tenants: no pool 'us-east-1/geos'; the"),
        ({"pools": {"global": {"tpm": 5}}}, "emulator.pools: no pool 'global'; the card"),
        (
            {"global_pool": "shared", "pools": {"us-east-1/global": {"tpm": 5}}},
            "no pool 'us-east-1/global' with global_pool = 'shared'; the card claude-haiku-4-5 has global, ",
        ),
    ],
)
def test_a_pool_or_region_that_the_card_lacks_is_named(keys, words):
    with pytest.raises(ValueError, match=words):
        Bedrock(EmulatorSpec(**keys))


def test_an_empty_table_is_right():
    Bedrock(EmulatorSpec())
