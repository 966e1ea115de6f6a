"""boto3's bedrock, service-quotas and sts clients get from the emulator what they would get from AWS."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from emulated_calls import BASE_ID, GLOBAL_ID, US_ID, invoke_fields
from sdk_clients import KEYS, boto_client

OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
TITLE = "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5"


def client(service, emulator, region="us-east-1", **keys):
    config = Config(retries={"total_max_attempts": 1}, read_timeout=5)
    url = f"{emulator.url}/{region}"
    return boto3.client(service, region_name=region, endpoint_url=url, config=config, **{**KEYS, **keys})


def quotas(service_quotas, operation, **keys):
    """Every quota of Bedrock by its code, over all pages."""
    pages = service_quotas.get_paginator(operation).paginate(ServiceCode="bedrock", **keys)
    return {quota["QuotaCode"]: quota for page in pages for quota in page["Quotas"]}


def test_profiles_are_listed_with_the_models_they_may_run(start):
    listed = client("bedrock", start(), "ca-central-1").list_inference_profiles(typeEquals="SYSTEM_DEFINED")
    profiles = {one["inferenceProfileId"]: one for one in listed["inferenceProfileSummaries"]}
    regions = [model["modelArn"].split(":")[3] for model in profiles[US_ID]["models"]]

    assert profiles.keys() == {US_ID, GLOBAL_ID}
    assert regions == ["ca-central-1", "us-east-1", "us-east-2", "us-west-2"]
    assert profiles[US_ID]["status"] == "ACTIVE"


def test_a_global_profile_names_a_model_without_a_region(start):
    profile = client("bedrock", start()).get_inference_profile(inferenceProfileIdentifier=GLOBAL_ID)

    assert f"arn:aws:bedrock:::foundation-model/{BASE_ID}" in [model["modelArn"] for model in profile["models"]]


def test_an_application_profile_is_told_by_its_arn_and_can_be_called(start):
    emulator = start(profiles={OWN: "us"})
    bedrock = client("bedrock", emulator)
    told = bedrock.get_inference_profile(inferenceProfileIdentifier=OWN)
    with boto_client(emulator.url) as runtime:
        runtime.invoke_model(modelId=OWN, body=json.dumps(invoke_fields()))

    assert (told["type"], len(told["models"])) == ("APPLICATION", 3)
    assert [
        one["inferenceProfileArn"]
        for one in bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    ] == [OWN]
    assert list(emulator.stats()["pools"]) == ["us-east-1/geo"]


def test_a_profile_that_is_not_there_is_not_found(start):
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client("bedrock", start()).get_inference_profile(inferenceProfileIdentifier="eu." + BASE_ID)


def test_the_model_is_told_with_its_lifecycle(start):
    bedrock = client("bedrock", start(lifecycle="LEGACY"))
    details = bedrock.get_foundation_model(modelIdentifier=BASE_ID)["modelDetails"]
    listed = bedrock.list_foundation_models(byProvider="anthropic")["modelSummaries"]

    assert details["modelLifecycle"]["status"] == "LEGACY"
    assert [one["modelId"] for one in listed] == [BASE_ID]
    assert bedrock.list_foundation_models(byProvider="Amazon")["modelSummaries"] == []


def test_service_quotas_tell_what_the_emulator_is_set_to_over_several_pages(start):
    emulator = start(rpm=7, pools={"us-east-1/geo": {"tpm": 90_000, "tpd": 0}})
    service_quotas = client("service-quotas", emulator)
    found = quotas(service_quotas, "list_service_quotas")
    first_page = service_quotas.list_service_quotas(ServiceCode="bedrock")

    assert (found["L-58BE175A"]["QuotaName"], found["L-58BE175A"]["Value"]) == (TITLE, 90_000)
    assert (found["L-CCA5DF70"]["Value"], found["L-6120CF2D"]["Value"]) == (7, 0)
    assert "L-9A11C666" not in found  # nothing is applied to the global pool
    assert len(first_page["Quotas"]) == 100 < len(found)


def test_service_quotas_can_be_asked_for_one_code(start):
    asked = {"ServiceCode": "bedrock", "QuotaCode": "L-58BE175A"}
    (quota,) = client("service-quotas", start(tpm=5)).list_service_quotas(**asked)["Quotas"]

    assert quota["Value"] == 5


def test_defaults_are_the_cards(start):
    found = quotas(client("service-quotas", start(tpm=5)), "list_aws_default_service_quotas")

    assert (found["L-58BE175A"]["Value"], found["L-9A11C666"]["Value"]) == (5_000_000, 5_000_000)


def test_sts_tells_the_account_of_a_key(start):
    emulator = start(accounts={"AKIAOTHER": "222222222222"})

    assert client("sts", emulator).get_caller_identity()["Account"] == "123456789012"
    assert client("sts", emulator, aws_access_key_id="AKIAOTHER").get_caller_identity()["Account"] == "222222222222"


def test_each_account_has_pools_of_its_own(start):
    emulator = start(accounts={"AKIAOTHER": "222222222222"}, pools={"222222222222:us-east-1/geo": {"tpm": 0}})
    body = json.dumps(invoke_fields())
    client("bedrock-runtime", emulator).invoke_model(modelId=US_ID, body=body)
    with pytest.raises(ClientError, match="ThrottlingException"):
        client("bedrock-runtime", emulator, aws_access_key_id="AKIAOTHER").invoke_model(modelId=US_ID, body=body)

    assert list(emulator.stats()["pools"]) == ["222222222222:us-east-1/geo", "us-east-1/geo"]


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("bedrock", "ListInferenceProfiles", lambda one: one.list_inference_profiles()),
        ("bedrock", "GetFoundationModel", lambda one: one.get_foundation_model(modelIdentifier=BASE_ID)),
        ("service-quotas", "ListServiceQuotas", lambda one: one.list_service_quotas(ServiceCode="bedrock")),
        ("sts", "GetCallerIdentity", lambda one: one.get_caller_identity()),
    ],
)
def test_what_is_not_permitted_is_denied_by_name(start, service, operation, call):
    with pytest.raises(ClientError, match=f"AccessDeniedException.*{operation}"):
        call(client(service, start(denied=[operation])))


def test_a_signature_for_another_region_is_turned_away(start):
    emulator = start()
    other = client("service-quotas", emulator, "us-west-2")
    other.meta.events.register(
        "before-sign.*.*", lambda request, **_: setattr(request, "url", request.url.replace("us-west-2", "us-east-1"))
    )

    with pytest.raises(ClientError, match="InvalidSignatureException"):
        other.list_service_quotas(ServiceCode="bedrock")


def test_the_control_plane_of_an_unknown_scope_is_refused_in_the_table(start):
    with pytest.raises(ValueError, match="no such lane to copy"):
        start(profiles={OWN: "eu"})
