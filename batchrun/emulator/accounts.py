"""Who is asking: the account of an access key, what its pools are called, and the Region it signed for."""

from collections.abc import Mapping

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.faults import refused

ACCOUNT = "123456789012"  # of every key that `[emulator.accounts]` does not name


class Accounts:
    """The accounts behind one emulator."""

    def __init__(self, spec: EmulatorSpec) -> None:
        self._by_key = dict(spec.accounts)

    def __repr__(self) -> str:
        return f"Accounts({[ACCOUNT, *self._by_key.values()]})"

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the account that a call is signed for; a Bedrock API key belongs to the first."""
        return self._by_key.get(_credential(headers)[0], ACCOUNT) if self._by_key else ACCOUNT

    def arn_of(self, headers: Mapping[str, str]) -> str:
        """Return the identity behind a signature."""
        return f"arn:aws:iam::{self.of(headers)}:user/emulated"

    def pool(self, account: str, name: str) -> str:
        """Name a pool of an account; the first account's have no prefix."""
        return name if account == ACCOUNT else f"{account}:{name}"


def signed_region(headers: Mapping[str, str], service: str) -> str | None:
    """Return the Region that a call is signed for, None with a Bedrock API key.

    Raises RefusedError if neither is there, or the signature is another service's. Nobody's secret is verified.
    """
    authorization = headers.get("Authorization", "")
    if authorization.startswith("Bearer ") and service == "bedrock":
        return None
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        raise refused("MissingAuthenticationTokenException")
    scope = _credential(headers)
    if len(scope) != 5 or scope[4] != "aws4_request" or "Signature=" not in authorization:
        raise refused("InvalidSignatureException", "Emulator: the Authorization header is no SigV4 signature.")
    if scope[3] != service:
        raise refused("InvalidSignatureException", f"Credential should be scoped to correct service: '{service}'.")
    return scope[2]


def _credential(headers: Mapping[str, str]) -> list[str]:
    return headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
