"""What AWS says when a lane does not answer, as people have seen it, and what the doctor makes of it."""

import pytest

from batchrun.account.diagnosis import diagnose
from batchrun.bedrock.card import load_card
from batchrun.bedrock.faults import classify
from batchrun.emulator.faults import FAULTS
from batchrun.lanes.lane import every_lane

CARD = load_card()
LANE = next(lane for lane in every_lane(CARD) if lane.name == "us from us-east-1")
WHO = "User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: bedrock:InvokeModel on resource: "
MODEL = "foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"
BY_SCP = (
    " with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/service_control_policy/p-1"
)
BY_IAM = " because no identity-based policy allows the bedrock:InvokeModel action"

# code, status, message, words of the diagnosis, words of what to do
SEEN = [
    (
        "ResourceNotFoundException",
        404,
        "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form "
        "before using the model.",
        "use-case form has not been submitted",
        "Bedrock console",
    ),
    (
        "AccessDeniedException",
        403,
        "Model access is denied due to IAM user or service role is not authorized to perform the required AWS "
        "Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this "
        "model. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently "
        "fixed this issue, try again after 5 minutes.",
        "Marketplace agreement is not there yet",
        "aws-marketplace:Subscribe",
    ),
    (
        "AccessDeniedException",
        403,
        "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided.",
        "no valid means of payment",
        "Billing",
    ),
    (
        "AccessDeniedException",
        403,
        f"{WHO}arn:aws:bedrock:us-east-2::{MODEL}{BY_SCP}",
        "a service control policy of the organisation forbids us-east-2: the ID may run the call there",
        "ask who keeps it to allow",
    ),
    (
        "AccessDeniedException",
        403,
        f"{WHO}arn:aws:bedrock:::{MODEL}{BY_SCP}",
        "forbids any Region, as global IDs need",
        'instead of "global"',
    ),
    (
        "AccessDeniedException",
        403,
        f"{WHO}arn:aws:bedrock:us-west-2::{MODEL}{BY_IAM}",
        "the caller's policy forbids us-west-2",
        "allow bedrock:InvokeModel there",
    ),
    (
        "AccessDeniedException",
        403,
        f"{WHO}arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude{BY_IAM}",
        "not permitted to invoke",
        "on the inference profile and on the model in each of its Regions",
    ),
    (
        "AccessDeniedException",
        403,
        f"{WHO}arn:aws:bedrock:us-east-1::{MODEL}{BY_SCP}",
        "service control policy forbids it",
        "organisation's policies",
    ),
    (
        "AccessDeniedException",
        403,
        "You don't have access to the model with the specified model ID.",
        "no access to the model",
        "us-east-1",
    ),
    (
        "ValidationException",
        400,
        "Invocation of model ID anthropic.x with on-demand throughput isn’t supported. Retry your request with the ID "
        "or ARN of an inference profile that contains this model.",
        "through inference profiles only",
        "us.anthropic.claude-haiku-4-5",
    ),
    (
        "ValidationException",
        400,
        "The provided model identifier is invalid.",
        "cannot be called from us-east-1",
        "batchrun lanes",
    ),
    ("ExpiredTokenException", 403, "The security token included in the request is expired", "expired", "aws sso login"),
    (
        "InvalidSignatureException",
        403,
        "Signature expired: 20261122T100000Z is now earlier than 20261122T101000Z (20261122T101500Z - 5 min.)",
        "clock is wrong",
        "set the clock",
    ),
    (
        "InvalidSignatureException",
        403,
        "The request signature we calculated does not match the signature you provided.",
        "does not belong to the access key",
        "credentials anew",
    ),
    (
        "UnrecognizedClientException",
        403,
        "The security token included in the request is invalid.",
        "not enabled",
        "enable us-east-1",
    ),
    (
        "AccessDeniedException",
        403,
        "Authentication failed: Please make sure your API Key is valid.",
        "Bedrock API key is refused",
        "make a new one in us-east-1",
    ),
    (
        "ThrottlingException",
        429,
        "Too many tokens per day, please wait before trying again.",
        "or are 0 as in many new accounts",
        "AWS Support",
    ),
    (
        "ResourceNotFoundException",
        404,
        "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
        "withdrawn",
        "model.card",
    ),
    ("NoCredentials", None, "the config profile (x) could not be found", "no usable AWS credentials", "AWS_PROFILE"),
    ("ConnectError", None, "Cannot connect to host", "us-east-1 cannot be reached", "proxy"),
]


@pytest.mark.parametrize(("code", "status", "message", "what", "to_do"), SEEN, ids=[what for *_, what, _ in SEEN])
def test_what_people_have_seen_is_told_in_plain_words(code, status, message, what, to_do):
    found = diagnose(LANE, classify(code, status, message), CARD.base_model_id)

    assert what in found.what
    assert to_do in found.to_do
    assert not found.passing


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("ThrottlingException", 429, "Too many requests, please wait before trying again."),
        ("ServiceUnavailableException", 503, "Bedrock is unable to process your request."),
        ("overloaded_error", 529, "Overloaded"),
        ("", 503, "<html>"),
    ],
)
def test_what_passes_by_itself_is_no_failure(code, status, message):
    assert diagnose(LANE, classify(code, status, message), CARD.base_model_id).passing


@pytest.mark.parametrize("kind", [kind for kind, fault in FAULTS.items() if fault.stage == "gate" and fault.error_type])
def test_every_error_of_the_table_is_known_except_those_of_a_row(kind):
    fault = FAULTS[kind]
    found = diagnose(LANE, classify(str(fault.error_type), fault.status, fault.message), CARD.base_model_id)

    of_a_row = {"ValidationException", "MissingAuthenticationTokenException"}
    assert (found.what == "it is none of the faults known here") == (kind in of_a_row)
