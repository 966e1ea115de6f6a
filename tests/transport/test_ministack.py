"""Against a server that is not ours and verifies signatures as AWS does: right secrets pass, wrong ones end the run."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from carriers import ALL, HTTP, SDK, Carrier, request

from batchrun.api import arun
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.service import Service
from batchrun.records import Completion
from tests.run.rehearsal import job, numbered, results
from tests.services import Account

INVOKING = [carrier for carrier in ALL if carrier.api != "messages"]
WRONG = "The request signature we calculated does not match the signature you provided"
ON_RUNTIME = [carrier for carrier in ALL if carrier.endpoint == "runtime"]
over_runtime = pytest.mark.parametrize("carrier", ON_RUNTIME, ids=str)
over_invoking = pytest.mark.parametrize("carrier", INVOKING, ids=str)
over_models = pytest.mark.parametrize(
    "model", [{"transport": "sdk"}, {"transport": "http"}, {"api": "converse"}], ids=["sdk", "http", "converse"]
)


class Signing:
    """Puts keys where the SDK's chain finds them."""

    def __init__(self, environment: pytest.MonkeyPatch, account: Account) -> None:
        self._environment = environment
        self.account = account

    def by(self, keys: dict[str, str], **changes: str) -> None:
        for name, value in {**keys, **changes}.items():
            self._environment.setenv(name, value)

    async def fault(self, carrier: Carrier, text: str = "Hello") -> Any:
        async with carrier(Access(endpoint_url=self.account.url)) as transport:
            return await transport.send(carrier.inference_id, "us-east-1", request(text))


@pytest.fixture
def signing(account: Account, no_account: None, monkeypatch: pytest.MonkeyPatch) -> Signing:
    return Signing(monkeypatch, account)


@over_invoking
@pytest.mark.anyio
async def test_a_user_and_a_session_are_let_in(carrier: Carrier, signing: Signing) -> None:
    for keys in (signing.account.user, signing.account.session):
        signing.by(keys)
        answer = await signing.fault(carrier, "Grüße, 你好 — 'quoted' \"text\"\n\ttabs")

        assert isinstance(answer, Completion), answer
        assert answer.usage.input > 0


@over_runtime
@pytest.mark.anyio
async def test_a_wrong_secret_is_a_fault_of_the_signature(carrier: Carrier, signing: Signing) -> None:
    for keys in (signing.account.user, signing.account.session):
        signing.by(keys, AWS_SECRET_ACCESS_KEY="not-the-secret")
        fault = await signing.fault(carrier)

        assert isinstance(fault, Fault)
        assert (fault.code, fault.action) == ("InvalidSignatureException", Action.REFRESH)
        assert fault.message.startswith(WRONG)


@pytest.mark.parametrize("carrier", ALL[3:], ids=str)
@pytest.mark.anyio
async def test_a_signature_of_the_messages_api_is_taken_although_the_server_does_not_know_the_api(
    carrier: Carrier, signing: Signing
) -> None:
    for keys in (signing.account.user, signing.account.session):
        signing.by(keys)
        fault = await signing.fault(carrier)

        assert isinstance(fault, Fault)
        assert fault.status not in {401, 403}, fault


@pytest.mark.parametrize("keys", ["user", "session"])
def test_a_wrong_secret_for_mantle_ends_the_run_with_exit_4_and_says_so(
    tmp_path: Path, signing: Signing, keys: str
) -> None:
    # ministack takes mantle for S3, whose errors are XML: without a right signature 403, with one 405 (above).
    signing.by(getattr(signing.account, keys), AWS_SECRET_ACCESS_KEY="not-the-secret")
    summary, _ = run(tmp_path, signing, {"api": "messages", "endpoint": "mantle"}, {"scopes": None})

    assert summary["exit_code"] == 4
    assert f"HTTP 403: SignatureDoesNotMatch {WRONG}" in summary["reason"]


@over_invoking
@pytest.mark.anyio
async def test_a_key_or_token_that_nobody_handed_out_is_not_known(carrier: Carrier, signing: Signing) -> None:
    signing.by(signing.account.user, AWS_ACCESS_KEY_ID="AKIAXXXXXXXXXXXXXXXX")
    unknown = await signing.fault(carrier)
    signing.by(signing.account.session, AWS_SESSION_TOKEN="another")
    astray = await signing.fault(carrier)

    assert isinstance(unknown, Fault)
    assert isinstance(astray, Fault)
    assert {unknown.action, astray.action} == {Action.REGION}
    assert {unknown.code, astray.code} == {"UnrecognizedClientException"}


def run(
    folder: Path, signing: Signing, model: dict[str, str], routing: dict[str, Any] | None = None
) -> tuple[dict[str, Any], Any]:
    spec = job(folder, numbered(8), model=model, routing=routing or {}, aws={"endpoint_url": signing.account.url})
    return anyio.run(partial(arun, spec), backend="asyncio"), spec


@over_invoking
@pytest.mark.anyio
async def test_what_is_asked_of_bedrock_in_headers_is_signed_like_the_rest(carrier: Carrier, signing: Signing) -> None:
    asked = Service("reserved", {"cost  centre": "a:b/c = 1", "team": "reviews"})
    signing.by(signing.account.session)
    async with carrier(Access(endpoint_url=signing.account.url), service=asked) as transport:
        answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(answer, Completion), answer


@over_models
def test_a_job_runs_with_right_keys(tmp_path: Path, signing: Signing, model: dict[str, str]) -> None:
    signing.by(signing.account.session)
    summary, spec = run(tmp_path, signing, model)

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 8})
    assert all("ministack" in row["text"] for row in results(spec))


@over_models
def test_a_wrong_secret_ends_the_run_with_exit_4_and_says_so(
    tmp_path: Path, signing: Signing, model: dict[str, str]
) -> None:
    signing.by(signing.account.user, AWS_SECRET_ACCESS_KEY="not-the-secret")
    summary, _ = run(tmp_path, signing, model)

    assert summary["exit_code"] == 4
    assert f"InvalidSignatureException: {WRONG}" in summary["reason"]
    assert "not-the-secret" not in str(summary)


@pytest.mark.parametrize("carrier", [SDK, HTTP], ids=str)
@pytest.mark.anyio
async def test_any_source_region_may_be_signed_for(carrier: Carrier, signing: Signing) -> None:
    signing.by(signing.account.user)
    async with carrier(Access(endpoint_url=signing.account.url)) as transport:
        answers = [
            await transport.send(carrier.inference_id, region, request()) for region in ("us-west-2", "eu-west-1")
        ]

    assert all(isinstance(answer, Completion) for answer in answers), answers
