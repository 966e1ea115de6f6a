"""What a store refuses or breaks off, as one line that says where, what, and what to do."""

from typing import Any

import aiohttp
from botocore import exceptions as sdk_errors

from batchrun.errors import StorageError

# What a call can meet; anything else is a mistake of ours and passes through.
SDK_ERRORS = (sdk_errors.ClientError, sdk_errors.BotoCoreError, aiohttp.ClientError, OSError)
# What ends a connection in the middle of an answer: the same range is asked for again.
BROKEN_READS = (
    sdk_errors.HTTPClientError,
    sdk_errors.IncompleteReadError,
    sdk_errors.ResponseStreamingError,
    aiohttp.ClientError,
    OSError,
)
NO_CREDENTIALS = (
    sdk_errors.NoCredentialsError,
    sdk_errors.PartialCredentialsError,
    sdk_errors.CredentialRetrievalError,
    sdk_errors.SSOError,
    sdk_errors.TokenRetrievalError,
    sdk_errors.ProfileNotFound,
)
UNREACHABLE = (
    sdk_errors.ConnectionError,
    sdk_errors.HTTPClientError,
    aiohttp.ClientError,
    OSError,
)
CONFLICT = {"PreconditionFailed", "412"}
MISSING = {"NoSuchKey", "NoSuchUpload", "404"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
BUSY = "ConditionalRequestConflict"  # two conditional writes met; S3 asks for the same one again

ADVICE = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the path",
    "AccessDenied": "access denied: these credentials may not do that (needed are s3:ListBucket, s3:GetObject and, "
    "for an output, s3:PutObject and s3:DeleteObject)",
    "InvalidAccessKeyId": "the store does not know this access key: check the profile, or the endpoint",
    "SignatureDoesNotMatch": "the secret key does not fit the access key: check the profile, or the endpoint",
    "PermanentRedirect": "the bucket lies in another Region: set storage_options.region",
    "AuthorizationHeaderMalformed": "the bucket lies in another Region: set storage_options.region",
    "IllegalLocationConstraintException": "the bucket lies in another Region: set storage_options.region",
    "SlowDown": "the store still asked to slow down after ten attempts: run again",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    **dict.fromkeys(EXPIRED, "the credentials have expired: renew them and run again"),
}
# HEAD has no body, so S3 can only give the number.
ADVICE |= {"403": ADVICE["AccessDenied"], "301": ADVICE["PermanentRedirect"]}
ADVICE["400"] = "refused without a reason, which is what expired credentials look like here: renew them"


class ConflictError(StorageError):
    """The object is not as the condition of a write or read wants it: somebody else wrote it."""


class MissingError(StorageError):
    """There is no such object."""


def code_of(error: BaseException) -> str:
    """Return the store's name for what it refused, "" for anything else."""
    if not isinstance(error, sdk_errors.ClientError):
        return ""
    answer: Any = error.response
    return str(answer.get("Error", {}).get("Code", ""))


def problem(error: Exception, where: str, endpoint: str) -> StorageError:
    """Return what is wrong at `where`, such as s3://bucket/key, in one line."""
    code = code_of(error)
    if code in CONFLICT:
        return ConflictError(f"{where}: was written by somebody else meanwhile")
    if code in MISSING:
        return MissingError(f"{where}: there is no such object")
    if code:
        told = getattr(error, "response", {}).get("Error", {}).get("Message") or "no reason given"
        return StorageError(f"{where}: {ADVICE.get(code, 'the store refused')} ({code}: {told})")
    if isinstance(error, NO_CREDENTIALS):
        return StorageError(
            f"{where}: no AWS credentials: {error}; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or storage_options.profile"
        )
    if isinstance(error, UNREACHABLE):
        return StorageError(
            f"{where}: {endpoint} cannot be reached: {error or type(error).__name__}; "
            "check storage_options.endpoint, storage_options.region and the network"
        )
    return StorageError(f"{where}: {type(error).__name__}: {error}")
