"""What the emulator can answer instead of an answer: Bedrock's error table, and faults of the wire.

A fault has a kind, the word used in job files (`faults = { ServiceUnavailableException = 0.03 }`), and a stage: at the
`gate` nothing has run and nothing is metered; an error of the `model` comes after the model's time and gives its hold
back; a fault of the `wire` comes after the model ran, so the call is settled and paid for.
"""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["gate", "model", "wire"]

TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."
TOO_MANY_REQUESTS = "Too many requests, please wait before trying again."
TOO_MANY_TOKENS_PER_DAY = "Too many tokens per day, please wait before trying again."


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: `error_type` is the x-amzn-ErrorType header, none for a gateway's or a model's own error."""

    kind: str
    stage: Stage
    status: int = 200
    error_type: str | None = None
    message: str = ""


class RefusedError(Exception):
    """A call that is turned away, as AWS would word it."""

    def __init__(self, fault: Fault, message: str | None = None) -> None:
        super().__init__(message or fault.message)
        self.fault = fault
        self.message = message or fault.message


def _aws(kind: str, status: int, message: str, stage: Stage = "gate", error_type: str | None = None) -> Fault:
    return Fault(kind, stage, status, error_type or kind, message)


# Kinds, statuses: BEDROCK error table and botocore's service model; wording: users' reports, close but not guaranteed.
_TABLE = (
    _aws("ThrottlingException", 429, TOO_MANY_TOKENS),
    _aws("ModelNotReadyException", 429, "The model is not ready to serve inference requests. Try again."),
    _aws("ModelTimeoutException", 408, "The request took too long to process. Try your request again.", "model"),
    _aws("ModelErrorException", 424, "The request failed due to an error while processing the model.", "model"),
    _aws(
        "InternalServerException",
        500,
        "The system encountered an unexpected error during processing. Try your request again.",
        "model",
    ),
    _aws("ServiceUnavailableException", 503, "Bedrock is unable to process your request."),
    # A model's own error: no error type in the headers, the Messages API's shape in the body.
    Fault("overloaded_error", "gate", 529, None, "Overloaded"),
    _aws("ValidationException", 400, "The model returned the following errors: emulated invalid request."),
    _aws("ServiceQuotaExceededException", 400, "Your request exceeds the service quota for your account."),
    _aws("AccessDeniedException", 403, "You don't have access to the model with the specified model ID."),
    _aws(
        "scp-denied",
        403,
        "User: arn:aws:iam::123456789012:user/emulated is not authorized to perform: bedrock:InvokeModel on resource: "
        "arn:aws:bedrock:us-east-2::foundation-model/claude with an explicit deny in a service control policy",
        error_type="AccessDeniedException",
    ),
    _aws(
        "marketplace-pending",
        403,
        "Model access is denied due to IAM user or service role is not authorized to perform the required AWS "
        "Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this "
        "model. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently "
        "fixed this issue, try again after 2 minutes.",
        error_type="AccessDeniedException",
    ),
    _aws("ResourceNotFoundException", 404, "The specified resource was not found."),
    _aws(
        "FTUFormNotFilled",
        404,
        "FTUFormNotFilled: Model use case details have not been submitted for this account. "
        "Fill out the Anthropic use case details form before using the model.",
        error_type="ResourceNotFoundException",
    ),
    _aws("ExpiredTokenException", 403, "The security token included in the request is expired"),
    _aws("InvalidSignatureException", 403, "The request signature we calculated does not match the one you provided."),
    _aws("RequestExpired", 400, "Request has expired."),
    _aws("UnrecognizedClientException", 403, "The security token included in the request is invalid."),
    _aws("InvalidClientTokenId", 403, "The security token included in the request is invalid."),
    _aws("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
    Fault("untyped-429", "gate", 429, None, "Too Many Requests"),
    Fault("untyped-503", "gate", 503, None, "Service Unavailable"),
    Fault("reset", "wire"),  # the connection is reset instead of an answer
    Fault("cut", "wire"),  # Content-Length promises more than is sent
    Fault("garbage", "wire"),  # 200, but not JSON
    Fault("empty", "wire"),  # 200 and `{}`: JSON, but no answer in it
    Fault("hang", "wire"),  # no answer, the connection stays open
    Fault("slow", "wire"),  # a right answer after ten times the latency
)

FAULTS = {fault.kind: fault for fault in _TABLE}


def refused(kind: str, message: str | None = None) -> RefusedError:
    """Return the refusal of `kind`, with wording of its own if given."""
    return RefusedError(FAULTS[kind], message)


def invalid(message: str) -> RefusedError:
    """Return a ValidationException: the row is wrong, or the lane is."""
    return refused("ValidationException", message)
