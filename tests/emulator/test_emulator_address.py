"""Which Region and pool a call is for, and who is turned away at the door."""

import json
from base64 import b64encode

import pytest
from emulated_calls import BASE_ID, GLOBAL_ID, US_ID, begun, invoke, post, refused, signed, told

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock, Call

ARN = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{US_ID}"
BODY = invoke().body
INVALID = (400, "ValidationException", "The provided model identifier is invalid.")


@pytest.fixture
def bedrock():
    return Bedrock(EmulatorSpec())


@pytest.mark.parametrize(
    "path",
    [
        f"/us-east-1/model/{US_ID}/invoke",
        f"/us-east-1/model/{US_ID.replace(':', '%3A')}/invoke",
        f"/model/{US_ID}/invoke",
        f"/model/{ARN}/invoke",
        f"/us-east-1/model/{ARN.replace('/', '%2F').replace(':', '%3A')}/invoke",
    ],
)
def test_every_spelling_of_a_path_reaches_the_same_pool(bedrock, path):
    assert begun(bedrock, Call(path, signed(), BODY)).pool.name == "us-east-1/geo"


def test_without_a_prefix_the_signature_names_the_region(bedrock):
    assert begun(bedrock, Call(f"/model/{GLOBAL_ID}/invoke", signed("eu-west-1"), BODY)).pool.name == "eu-west-1/global"


def test_a_bearer_key_needs_the_region_in_the_path(bedrock):
    key = {"Authorization": "Bearer anything"}

    begun(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", key, BODY))
    assert "names no Region" in told(refused(bedrock, Call(f"/model/{US_ID}/invoke", key, BODY)))[2]


def test_a_short_term_key_works_only_where_it_was_made(bedrock):
    url = "bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Credential=AKID%2F20261101%2Fus-east-1%2Fbedrock"
    key = "bedrock-api-key-" + b64encode(f"{url}%2Faws4_request".encode()).decode()

    begun(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", {"Authorization": f"Bearer {key}"}, BODY))
    reply = refused(bedrock, Call(f"/us-west-2/model/{US_ID}/invoke", {"Authorization": f"Bearer {key}"}, BODY))
    assert told(reply)[:2] == (403, "InvalidSignatureException")


def test_a_call_without_signature_or_key_is_turned_away(bedrock):
    reply = refused(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", {}, BODY))

    assert told(reply) == (403, "MissingAuthenticationTokenException", "Missing Authentication Token")


@pytest.mark.parametrize(
    "headers",
    [signed("us-west-2"), signed(service="s3"), {"Authorization": "AWS4-HMAC-SHA256 Credential=what, Signature=0"}],
)
def test_a_signature_for_something_else_is_turned_away(bedrock, headers):
    reply = refused(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", headers, BODY))

    assert told(reply)[:2] == (403, "InvalidSignatureException")


def test_the_base_id_cannot_be_invoked(bedrock):
    status, error_type, message = told(refused(bedrock, invoke(model_id=BASE_ID)))

    assert (status, error_type) == (400, "ValidationException")
    assert "with on-demand throughput isn’t supported" in message


def test_an_inference_id_cannot_count_tokens(bedrock):
    reply = refused(bedrock, post("count-tokens", {"input": {"converse": {"messages": []}}}))

    assert told(reply) == (400, "ValidationException", "The provided model doesn't support counting tokens.")


@pytest.mark.parametrize(
    ("model_id", "region"),
    [
        (US_ID, "eu-west-1"),  # not a source Region of us.
        (f"eu.{BASE_ID}", "us-east-1"),
        (f"au.{BASE_ID}", "ap-southeast-1"),
        (US_ID, "us-east-9"),
        ("us.anthropic.claude-haiku-9", "us-east-1"),
        (ARN, "us-west-2"),  # an ARN of another Region
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "us-east-1"),
    ],
)
def test_an_id_that_is_not_offered_in_the_region_is_invalid(bedrock, model_id, region):
    assert told(refused(bedrock, invoke(model_id=model_id, region=region))) == INVALID


def test_every_pair_of_the_card_has_a_pool(bedrock):
    pairs = [(scope, region) for scope in bedrock.card.scopes.values() for region in scope.sources]

    for scope, region in pairs:
        running = begun(bedrock, invoke(model_id=scope.inference_id, region=region))
        assert running.pool.name == f"{region}/{scope.pool_kind}"
    assert len(bedrock.books.pools) == len(pairs)


def test_mantle_has_a_pool_in_each_of_its_regions(bedrock):
    for region in bedrock.card.mantle_regions:
        assert begun(bedrock, message(MANTLE_ID, KEY, region)).pool.name == f"{region}/mantle"


# The Messages API: one path for both endpoints, which AWS tells apart by their hosts

MANTLE_ID = "anthropic.claude-haiku-4-5"
KEY = {"Authorization": "Bearer anything"}


def message(model_id, headers, region="us-east-1"):
    body = {"model": model_id, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    return Call(f"/{region}/anthropic/v1/messages", headers | {"anthropic-version": "1"}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("model_id", "headers", "pool"),
    [
        (US_ID, signed(), "us-east-1/geo"),
        (US_ID, KEY, "us-east-1/geo"),
        (MANTLE_ID, signed(service="bedrock-mantle"), "us-east-1/mantle"),
        (MANTLE_ID, KEY, "us-east-1/mantle"),
    ],
)
def test_a_message_goes_to_the_endpoint_it_was_signed_for_or_whose_model_it_names(bedrock, model_id, headers, pool):
    assert begun(bedrock, message(model_id, headers)).pool.name == pool


@pytest.mark.parametrize(
    ("model_id", "service", "error_type"),
    [
        (US_ID, "bedrock-mantle", "not_found_error"),
        (MANTLE_ID, "bedrock", "invalid_request_error"),
        (MANTLE_ID, "s3", "authentication_error"),
    ],
)
def test_a_model_of_the_other_endpoint_is_not_known(bedrock, model_id, service, error_type):
    reply = refused(bedrock, message(model_id, signed(service=service)))

    assert json.loads(reply.body)["error"]["type"] == error_type


def test_a_signature_for_mantle_opens_no_invoke_model(bedrock):
    reply = refused(bedrock, Call(f"/us-east-1/model/{US_ID}/invoke", signed(service="bedrock-mantle"), BODY))

    assert told(reply)[:2] == (403, "InvalidSignatureException")
