"""What a fault of a tiny call means, and what a person does about it: one table, read from the top.

Wordings: AWS's documentation and users' reports, 2026-11; where AWS changes one, the fault's own words still stand.
"""

import re
from dataclasses import dataclass

from batchrun.bedrock.faults import Action, Fault
from batchrun.lanes.lane import Lane

REGION = re.compile(r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):[^:]*:(?:foundation-model|inference-profile)/")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """In plain words: what keeps the lane from answering, and what to do. `passing`: it may answer any minute."""

    what: str
    to_do: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Sign:
    """One row: the first whose pattern is found in "CODE: message" is what it is; {lane.…} stands for the lane's."""

    pattern: str
    what: str
    to_do: str
    passing: bool = False


SIGNS = (
    Sign(
        "use case details|FTUFormNotFilled",
        "Anthropic's use-case form has not been submitted for this account",
        "submit it in the Bedrock console (Model catalog, any Claude model), once per account or for the whole "
        "organisation; then wait up to 15 minutes",
    ),
    Sign(
        "INVALID_PAYMENT_INSTRUMENT|payment instrument",
        "AWS Marketplace has no valid means of payment for this account",
        "add one in the Billing console, then wait a few minutes",
    ),
    Sign(
        "subscription for this model cannot be completed|aws-marketplace|marketplace",
        "the model's Marketplace agreement is not there yet: the first call makes it, if the caller may",
        "if it is new, try again in a few minutes; else have somebody with aws-marketplace:Subscribe and "
        "ViewSubscriptions call the model once in this account",
    ),
    Sign(
        "reached (?:the|its) end of (?:its )?life|marked by provider as Legacy",
        "the model has been withdrawn",
        "use a card of its successor (model.card)",
    ),
    Sign(
        "not allowed from unsupported countries",
        "Anthropic does not offer its models in the country of this account or network",
        "call from a supported country",
    ),
    Sign(
        "per day",
        "its tokens per day are used up, or are 0 as in many new accounts",
        "see «Model invocation max tokens per day» in Service Quotas of {lane.source_region}; if 0, ask AWS Support",
    ),
    Sign(
        "ServiceQuotaExceeded",
        "another quota of the account is used up",
        "see Service Quotas, Amazon Bedrock, in {lane.source_region}",
    ),
    Sign(
        "API key is (?:not )?valid|Bearer Token|api key",
        "the Bedrock API key is refused: it has ended, or is a short-term key of another Region",
        "make a new one in {lane.source_region}, or use AWS credentials",
    ),
    Sign(
        "Signature (?:expired|not yet current)|RequestExpired|RequestTimeTooSkewed",
        "this machine's clock is wrong: AWS takes signatures of the last five minutes",
        "set the clock (timedatectl set-ntp true, or restart the virtual machine's time service)",
    ),
    Sign(
        "InvalidSignature|SignatureDoesNotMatch|IncompleteSignature",
        "the secret key does not belong to the access key, or this machine's clock is wrong",
        "set the credentials anew; check the clock",
    ),
    Sign(
        "ExpiredToken|token included in the request is expired",
        "the credentials have expired",
        "renew them: aws sso login, or a new session token",
    ),
    Sign(
        "UnrecognizedClient|InvalidClientTokenId",
        "the Region is not enabled for the account, or the credentials are unknown there",
        "enable {lane.source_region} (Account, AWS Regions), or take it out of routing.source_regions; if all Regions "
        "say so, the access key is wrong",
    ),
    Sign(
        "on-demand throughput",
        "the model takes calls through inference profiles only, and this is a model's ID",
        "use an inference ID such as us.{model}",
    ),
    Sign(
        "model identifier is invalid",
        "{lane.inference_id} does not exist, or cannot be called from {lane.source_region}",
        "`batchrun lanes` lists from where each ID may be called",
    ),
    Sign(
        "don't have access to the model|access to the model",
        "the account has no access to the model",
        "grant it in the Bedrock console of {lane.source_region}, or have an administrator allow bedrock:InvokeModel",
    ),
    Sign(
        "AccessDenied|not authorized|permission_error",
        "the caller is not permitted to invoke the model",
        "allow bedrock:InvokeModel on the inference profile and on the model in each of its Regions",
    ),
    Sign("NoCredentials", "there are no usable AWS credentials", "set AWS_PROFILE, aws.profile or a Bedrock API key"),
    Sign(
        "ResourceNotFound|not_found_error",
        "{lane.inference_id} does not exist in {lane.source_region}",
        "`batchrun lanes` lists from where each ID may be called; an ARN must be of this account and Region",
    ),
    Sign(
        "Throttling|TooManyRequests|rate_limit_error",
        "its quota is used up just now, by somebody else or another run",
        "nothing: a run waits; or ask for a larger quota in Service Quotas of {lane.source_region}",
        passing=True,
    ),
    Sign(
        "ServiceUnavailable|overloaded_error|ModelNotReady|InternalServer|ModelTimeout|ModelError|ReadTimeout|NoAnswer",
        "Bedrock has trouble or no capacity just now",
        "try again later; a run slows down and goes on",
        passing=True,
    ),
    Sign(
        "ConnectError|ConnectionLost|CredentialsOutOfReach",
        "{lane.source_region} cannot be reached from this machine",
        "check network, proxy (HTTPS_PROXY) and VPC endpoints",
    ),
)


def diagnose(lane: Lane, fault: Fault, model_id: str) -> Diagnosis:
    """Return what a fault of a call on `lane` means."""
    said = f"{fault.code}: {fault.message}"
    if (denied := _denied_elsewhere(lane, said)) is not None:
        return denied
    for sign in SIGNS:
        if re.search(sign.pattern, said, re.IGNORECASE):
            what, to_do = (text.format(lane=lane, model=model_id) for text in (sign.what, sign.to_do))
            return Diagnosis(what, to_do, sign.passing)
    passing = fault.action in {Action.COOL, Action.RETRY, Action.RETRY_FEW, Action.TOKENS, Action.REQUESTS}
    return Diagnosis("it is none of the faults known here", "see the message", passing)


def _denied_elsewhere(lane: Lane, said: str) -> Diagnosis | None:
    """Read a refusal by policy that names where: a destination Region that nobody called, or none for a global ID."""
    if "not authorized to perform" not in said:
        return None
    match = REGION.search(said)
    by_organisation = "service control policy" in said
    if match is None or match["region"] == lane.source_region:
        if not by_organisation:
            return None
        return Diagnosis(
            "the organisation's service control policy forbids it",
            "ask who keeps the organisation's policies to allow bedrock:InvokeModel",
        )
    where = match["region"] or "any Region, as global IDs need"
    whose = "a service control policy of the organisation" if by_organisation else "the caller's policy"
    ask = "ask who keeps it to allow" if by_organisation else "allow"
    others = "another scope or source Region" if match["region"] else 'the scope "us", "eu" or "au" instead of "global"'
    return Diagnosis(
        f"{whose} forbids {where}: the ID may run the call there, and then all of its Regions must be allowed",
        f"{ask} bedrock:InvokeModel there (condition bedrock:InferenceProfileArn), or use {others}",
    )
