"""Every row of BEDROCK.md's error table: code, status and message, and what a runner makes of them."""

import pytest

from batchrun.bedrock.faults import Action, classify

MINUTE = "Too many tokens, please wait before trying again."
ON_DEMAND = f"Invocation of model ID x with on-demand throughput isn{chr(8217)}t supported. Retry your request with …"
TABLE = [
    ("ThrottlingException", 429, MINUTE, Action.TOKENS),
    ("ThrottlingException", 429, "Too many requests, please wait before trying again.", Action.REQUESTS),
    ("ThrottlingException", 429, "Your request rate is too high. Reduce the frequency of requests.", Action.REQUESTS),
    ("ThrottlingException", 429, "Too many tokens per day, please wait before trying again.", Action.DAY),
    ("ModelNotReadyException", 429, "The model is not ready for inference.", Action.COOL),
    ("ModelTimeoutException", 408, "The request took too long to process.", Action.RETRY_FEW),
    ("ModelErrorException", 424, "The request failed due to an error while processing the model.", Action.RETRY_FEW),
    ("InternalServerException", 500, "An internal server error occurred.", Action.RETRY),
    ("ServiceUnavailableException", 503, "Bedrock is unable to process your request.", Action.COOL),
    ("ServiceUnavailableException", 503, "Too many connections, please wait before trying again.", Action.COOL),
    ("overloaded_error", 529, "Overloaded", Action.COOL),
    ("ValidationException", 400, "Input is too long for requested model.", Action.ROW),
    ("ValidationException", 400, "The provided model identifier is invalid.", Action.LANE),
    ("ValidationException", 400, ON_DEMAND, Action.LANE),
    ("ServiceQuotaExceededException", 400, "Your request exceeds the service quota for your account.", Action.PARK),
    ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.", Action.LANE),
    (
        "ResourceNotFoundException",
        404,
        "Could not resolve the foundation model from the model identifier.",
        Action.LANE,
    ),
    ("ResourceNotFoundException", 404, "Model use case details have not been submitted for this account.", Action.RUN),
    ("FTUFormNotFilled", 404, "Fill out the form.", Action.RUN),
    ("ExpiredTokenException", 403, "The security token included in the request is expired", Action.REFRESH),
    ("ExpiredToken", 400, "The provided token has expired.", Action.REFRESH),
    ("InvalidSignatureException", 403, "The request signature we calculated does not match", Action.REFRESH),
    ("RequestExpired", 400, "Request has expired.", Action.REFRESH),
    ("UnrecognizedClientException", 403, "The security token included in the request is invalid.", Action.REGION),
    ("InvalidClientTokenId", 403, "The security token included in the request is invalid.", Action.REGION),
    ("invalid_request_error", 400, "messages: at least one message is required", Action.ROW),
    ("authentication_error", 401, "invalid x-api-key", Action.REFRESH),
    ("permission_error", 403, "not allowed", Action.LANE),
    ("not_found_error", 404, "model not found", Action.LANE),
    ("request_too_large", 413, "Request exceeds the maximum size", Action.ROW),
    ("rate_limit_error", 429, "Number of tokens has exceeded your limit", Action.TOKENS),
    ("timeout_error", 504, "timed out", Action.RETRY_FEW),
    ("api_error", 500, "Internal server error", Action.RETRY),
    ("ConnectError", None, "refused", Action.COOL),
    ("ConnectionLost", None, "IncompleteRead", Action.RETRY),
    ("ReadTimeout", None, "read timed out", Action.RETRY_FEW),
    ("MalformedAnswer", 200, "no answer in it", Action.RETRY),
    ("NoCredentials", None, "Unable to locate credentials", Action.RUN),
]
MAYBE_BILLED = {
    "ModelTimeoutException", "ModelErrorException", "timeout_error", "ConnectionLost", "ReadTimeout", "MalformedAnswer",
}  # fmt: skip


@pytest.mark.parametrize(("code", "status", "message", "action"), TABLE)
def test_each_error_has_its_action(code: str, status: int | None, message: str, action: Action):
    fault = classify(code, status, message)

    assert (fault.code, fault.status, fault.message, fault.action) == (code, status, message, action)


@pytest.mark.parametrize(("code", "status", "message"), [row[:3] for row in TABLE])
def test_only_a_call_that_may_have_reached_the_model_may_have_been_billed(code: str, status: int | None, message: str):
    assert classify(code, status, message).maybe_billed == (code in MAYBE_BILLED)


def test_the_error_type_is_cut_at_the_colon():
    fault = classify("ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", 429, MINUTE)

    assert (fault.code, fault.action) == ("ThrottlingException", Action.TOKENS)


def test_a_message_is_matched_whatever_its_case():
    assert classify("ThrottlingException", 429, "TOO MANY TOKENS PER DAY").action is Action.DAY


@pytest.mark.parametrize(
    ("status", "action", "maybe_billed"),
    [
        (400, Action.ROW, False),
        (401, Action.REFRESH, False),
        (403, Action.LANE, False),
        (404, Action.LANE, False),
        (408, Action.RETRY_FEW, True),
        (413, Action.ROW, False),
        (424, Action.RETRY_FEW, True),
        (429, Action.TOKENS, False),
        (500, Action.RETRY, True),
        (502, Action.RETRY, True),
        (503, Action.COOL, False),
        (504, Action.RETRY, True),
        (529, Action.COOL, False),
        (None, Action.RETRY, False),
    ],
)
def test_without_an_error_type_the_status_decides(status: int | None, action: Action, maybe_billed: bool):
    fault = classify("", status, "<html>Bad gateway</html>")

    assert (fault.code, fault.action, fault.maybe_billed) == (f"HTTP {status}", action, maybe_billed)


def test_an_unknown_error_type_keeps_its_name_and_the_status_decides():
    fault = classify("BrandNewException", 429, "?")

    assert (fault.code, fault.action) == ("BrandNewException", Action.TOKENS)


def test_a_status_in_the_place_of_the_type_is_no_type():
    assert classify("502", 502, "").code == "HTTP 502"


@pytest.mark.parametrize("code", ["ThrottlingException", ""])
def test_a_retry_after_travels_with_the_fault(code: str):
    assert classify(code, 429, MINUTE, retry_after_s=3.0).retry_after_s == 3.0
