"""Signature Version 4 for calls that are POSTs with a body: what the SDK's signer writes, with the day's key kept.

The SDK derives the signing key anew for every call and parses its own URL twice; keeping the key and the path costs a
tenth. `tests/transport/test_signing.py` holds the two to be equal, whatever the headers, path and body.
Source: AWS General Reference, «Create a signed AWS API request».
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a call; `token` belongs to a session's keys."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Signer:
    """Signs for one service in one Region."""

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service

    def __repr__(self) -> str:
        return f"Signer({self._region}, {self._service})"

    def signed(self, path: str, headers: Mapping[str, str], body: bytes, keys: Keys, at_s: float) -> dict[str, str]:
        """Return `headers` with those of a signature made at `at_s` [s since 1970].

        `path` is quoted as it is sent, without empty or dot segments. `headers` have lower-case names, the host among
        them; all of them are signed.
        """
        moment = _moment(int(at_s))
        signed = {**headers, "x-amz-date": moment}
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        names = sorted(signed)
        named = ";".join(names)
        lines = "".join([f"{name}:{' '.join(signed[name].split())}\n" for name in names])
        canonical = f"POST\n{_quoted(path)}\n\n{lines}\n{named}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = _signing_key(keys.secret_key, moment[:8], self._region, self._service)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={named}, Signature={signature}"
        )
        return signed


@lru_cache(maxsize=2)  # now, and the second before
def _moment(at_s: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))


@lru_cache(maxsize=256)
def _quoted(path: str) -> str:
    """Quote a quoted path again, as every service but S3 wants it signed."""
    return quote(path, safe="/~")


@lru_cache(maxsize=256)  # source Regions × accounts, of today and of yesterday
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
