"""Our signature is the SDK's own, whatever the headers, the path and the body; and each names no secret."""

import datetime
import string
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from batchrun.bedrock.authorization import BearerKey, Signature
from batchrun.bedrock.signing import Keys, Signer

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
OURS = ["host", "x-amz-date", "x-amz-security-token", "authorization"]
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
names = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=20).filter(
    lambda name: name not in {*SIGNED_HEADERS_BLACKLIST, *OURS, "date", "x-amz-content-sha256"}
)
headers = st.dictionaries(names, st.lists(printable, min_size=1, max_size=3).map("  ".join), max_size=6)
# No AWS ID is made of dots alone, which the signer would take for a step up.
model_ids = st.text(min_size=1, max_size=60).filter(lambda text: text.strip(".") and text.isprintable())
keys = st.builds(Keys, printable, printable, st.none() | printable)
moments = st.integers(946_684_800, 4_102_358_400).map(lambda at_s: datetime.datetime.fromtimestamp(at_s, datetime.UTC))


def by_the_sdk(path: str, given_headers: dict[str, str], body: bytes, signing: Keys, at: datetime.datetime) -> str:
    """Return the Authorization header that the SDK's signer writes."""
    request = AWSRequest("POST", f"https://{HOST}{path}", headers=given_headers, data=body)
    signer = SigV4Auth(Credentials(signing.access_key, signing.secret_key, signing.token), "bedrock", "us-east-1")
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@given(model_ids, headers, st.binary(max_size=300), keys, moments)
def test_a_signature_is_the_sdks_own(
    model_id: str, more: dict[str, str], body: bytes, signing: Keys, at: datetime.datetime
) -> None:
    path = f"/model/{quote(model_id, safe='-_.~')}/invoke"
    given_headers = {**more, "host": HOST}

    signed = Signer("us-east-1", "bedrock").signed(path, given_headers, body, signing, at.timestamp())

    assert signed["authorization"] == by_the_sdk(path, given_headers, body, signing, at)
    assert signed["x-amz-date"] == at.strftime("%Y%m%dT%H%M%SZ")
    assert signed.get("x-amz-security-token") == signing.token
    assert given_headers.items() <= signed.items()


def test_a_key_of_yesterday_signs_nothing_of_today() -> None:
    signer, signing = Signer("us-east-1", "bedrock"), Keys("AKID", "secret")
    midnight = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    for second in (-1, 0, 1, 86_400):
        at = midnight + datetime.timedelta(seconds=second)
        signed = signer.signed("/model/x/invoke", {"host": HOST}, b"{}", signing, at.timestamp())

        assert signed["authorization"] == by_the_sdk("/model/x/invoke", {"host": HOST}, b"{}", signing, at)


def test_two_accounts_in_one_region_sign_by_their_own_keys() -> None:
    signer, at = Signer("us-east-1", "bedrock"), datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    for secret in ("one", "another", "one"):
        signed = signer.signed("/model/x/invoke", {"host": HOST}, b"{}", Keys("AKID", secret), at.timestamp())

        assert signed["authorization"] == by_the_sdk("/model/x/invoke", {"host": HOST}, b"{}", Keys("AKID", secret), at)


@pytest.mark.anyio
async def test_what_authorizes_a_call_does_not_show_its_secret_when_printed() -> None:
    async def some() -> Keys:
        return Keys("AKID", "not-for-logs")

    signature = Signature(Signer("us-east-1", "bedrock"), some)

    assert "not-for-logs" not in repr(BearerKey("not-for-logs")) + repr(signature)
    assert "not-for-logs" not in repr(await some())
